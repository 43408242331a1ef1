// Sends by both submission ports: with an attachment to a Bcc recipient too, and a raw message.

import fs from 'node:fs';
import nodemailer from 'nodemailer';

const { FOLDER, PORTS, USER, PASSWORD, CERTIFICATE } = process.env;
const ports = JSON.parse(PORTS);
const tls = { ca: fs.readFileSync(CERTIFICATE) };
const auth = { user: USER, pass: PASSWORD };
const to = 'bob@demo.example';

const starttls = nodemailer.createTransport({ host: 'localhost', port: ports.submission, requireTLS: true, auth, tls });
const wrapped = nodemailer.createTransport({ host: 'localhost', port: ports.submissions, secure: true, auth, tls });
await starttls.verify();
await wrapped.verify();
const attachments = [{ filename: 'Übersicht.bin', path: `${FOLDER}/alles.bin` }];
for (const [number, transport] of [starttls, wrapped].entries()) {
    const bcc = number === 0 ? USER : undefined;
    const done = await transport.sendMail({
        from: USER, to, bcc, subject: `Grüße ${number}`, text: 'Hallo, Welt', html: '<p>Hallo, Welt</p>', attachments,
    });
    if (done.rejected.length > 0) throw new Error(`rejected: ${done.rejected}`);
}
const raw = 'From: alice@demo.example\r\nTo: bob@demo.example\r\nSubject: raw\r\n'
    + 'Date: Fri, 06 Nov 2026 11:22:33 +0100\r\nMessage-ID: <raw@demo.example>\r\n\r\n.\r\n..\r\nend\r\n';
fs.writeFileSync(`${FOLDER}/raw`, raw);
await starttls.sendMail({ envelope: { from: USER, to: [to] }, raw });
const wrong = nodemailer.createTransport({
    host: 'localhost', port: ports.submission, requireTLS: true, tls, auth: { user: USER, pass: 'wrong' },
});
const refused = await wrong.verify().then(() => 0, error => error.responseCode);
if (refused !== 535) throw new Error(`a wrong password: ${refused}`);
starttls.close();
wrapped.close();
