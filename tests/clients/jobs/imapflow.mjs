// Reads 300 messages, changes flags, moves, copies, deletes, appends, and waits in IDLE for a message
// that nodemailer hands in over LMTP.

import fs from 'node:fs';
import { ImapFlow } from 'imapflow';
import nodemailer from 'nodemailer';

const { FOLDER, PORTS, USER, PASSWORD, CERTIFICATE } = process.env;
const ports = JSON.parse(PORTS);
const ca = fs.readFileSync(CERTIFICATE);

const client = new ImapFlow({
    host: 'localhost', port: ports.imap, secure: false, doSTARTTLS: true,
    auth: { user: USER, pass: PASSWORD }, tls: { ca }, logger: false,
});
await client.connect();
const lock = await client.getMailboxLock('INBOX');
check(client.mailbox.exists === 300, `${client.mailbox.exists} messages`);
let number = 0;
for await (const message of client.fetch('1:*', { uid: true, source: true, envelope: true, bodyStructure: true })) {
    check(message.envelope.subject === `message ${number}`, message.envelope.subject);
    check(message.bodyStructure.type.includes('/'), 'no structure');
    fs.writeFileSync(`${FOLDER}/out/${message.uid}`, message.source);
    number += 1;
}
const one = await client.download('50', undefined, { uid: true });
let octets = 0;
for await (const piece of one.content) octets += piece.length;
check(octets === fs.statSync(`${FOLDER}/out/50`).size, `${octets} downloaded`);

await client.messageFlagsAdd('1:10', ['\\Seen', '\\Flagged', '$Phone'], { uid: true });
check((await client.search({ keyword: '$Phone' }, { uid: true })).length === 10, 'search by keyword');
await client.messageMove('11:20', 'Archive', { uid: true });
const copied = await client.messageCopy('21:30', 'Archive', { uid: true });
check(copied.uidMap.size === 10, 'no COPYUID');
await client.messageDelete('31:40', { uid: true });

const came = new Promise(resolve => client.once('exists', resolve));
const lmtp = nodemailer.createTransport({ host: 'localhost', port: ports.lmtp, lmtp: true, ignoreTLS: true });
setImmediate(() => lmtp.sendMail({ from: 'x@remote.example', to: USER, subject: 'news', text: 'news' }));
const idling = client.idle();
const news = await came;
check(news.count === 281, `${news.count} messages`);
await client.noop();
await idling;
lock.release();

await client.mailboxCreate('Projekte/Grün');
for (const name of fs.readdirSync(FOLDER).filter(name => name.startsWith('append-'))) {
    const made = await client.append('Projekte/Grün', fs.readFileSync(`${FOLDER}/${name}`), ['\\Seen']);
    check(made.uid > 0, 'no APPENDUID');
}
const status = await client.status('Projekte/Grün', { messages: true, unseen: true });
check(status.messages > 0 && status.unseen === 0, JSON.stringify(status));
const sent = (await client.list()).find(mailbox => mailbox.specialUse === '\\Sent');
check(sent.path === 'Sent', 'no Sent');
await client.logout();

function check(holds, otherwise) {
    if (!holds) throw new Error(otherwise);
}
