// A phone by imapflow: keeps a copy of one mailbox when its connection is gone, and is in step again
// by QRESYNC, or by CONDSTORE alone. Reads one order a line and answers each by a line of JSON, with
// all that it has heard since the last answer.

import crypto from 'node:crypto';
import fs from 'node:fs';
import readline from 'node:readline';
import { ImapFlow } from 'imapflow';

const { PORTS, USER, PASSWORD, CERTIFICATE, QRESYNC } = process.env;
const qresync = QRESYNC === 'yes';
const PATIENCE = 60_000;
const atom = value => ({ type: 'ATOM', value });

/** What outlives a connection. */
const copy = { validity: undefined, highest: undefined, messages: new Map() };
let client;
let path;
let listens = 'idle';
let behind = false;
/** Whether its messages in their order are those that are counted. */
let numbered = true;
let heard = silence();
let wake = () => {};

function silence() {
    return { vanished: [], earlier: [], expunged: [], flags: [], exists: [], status: [], list: [] };
}

const orders = {
    async connect() {
        client = new ImapFlow({
            host: 'localhost', port: JSON.parse(PORTS).imap, secure: false, doSTARTTLS: true,
            auth: { user: USER, pass: PASSWORD }, tls: { ca: fs.readFileSync(CERTIFICATE) },
            logger: false, qresync, disableAutoIdle: true, socketTimeout: 3_600_000,
        });
        client.on('error', () => {});
        client.on('expunge', gone);
        client.on('flags', told);
        client.on('exists', event => { heard.exists.push(event.count); behind = true; wake(); });
        await client.connect();
        listens = 'idle';
    },

    /** Opens the mailbox and catches up. */
    async open({ mailbox }) {
        path = mailbox;
        const known = copy.highest ? { changedSince: copy.highest, uidValidity: copy.validity } : {};
        const opened = await client.mailboxOpen(path, qresync ? known : {});
        if (opened.uidValidity !== copy.validity) copy.messages.clear();
        else if (qresync && !opened.qresync) throw new Error('no QRESYNC');
        else if (!qresync) await compare();
        copy.validity = opened.uidValidity;
        await discover();
        return { resynced: !!opened.qresync };
    },

    async notify() {
        const events = [atom('MessageNew'), [atom('UID'), atom('FLAGS'), atom('MODSEQ')], atom('MessageExpunge'), atom('FlagChange')];
        const others = [atom('MessageNew'), atom('MessageExpunge'), atom('FlagChange'), atom('MailboxName')];
        for (const name of ['STATUS', 'LIST']) {
            client.untaggedHandlers[name] = async line => {
                const words = line.attributes.flat(9).map(item => item && item.value);
                heard[name.toLowerCase()].push(words.filter(word => word));
                wake();
            };
        }
        const groups = [[atom('SELECTED'), events], [atom('PERSONAL'), others]];
        (await client.exec('NOTIFY', [atom('SET'), ...groups])).next();
        listens = 'notify';
    },

    /** Listens until its copy holds these UIDs with these flags, and it was told of these mailboxes. */
    async wait({ wanted, status = [], list = [] }) {
        const until = Date.now() + PATIENCE;
        const told = () => status.every(name => heard.status.flat().includes(name))
            && list.every(name => heard.list.flat().includes(name));
        while (behind || !equal(wanted) || !told()) {
            if (behind) {
                await discover();
                continue;
            }
            const change = new Promise(resolve => { wake = resolve; });
            if (listens === 'idle' && !client.idling) client.idle();
            const timer = setTimeout(wake, Math.max(0, until - Date.now()));
            await change;
            clearTimeout(timer);
            if (Date.now() >= until) throw new Error(`waits for ${JSON.stringify(wanted)}, has ${JSON.stringify(state())} and heard ${JSON.stringify(heard)}`);
        }
    },

    /** From now on it hears what happens, until its next order. */
    async idle() {
        client.idle();
    },

    async check() {
        await client.noop();
        while (behind) await discover();
    },

    async flag({ uids, add = [], remove = [], since }) {
        const options = { uid: true, ...(since ? { unchangedSince: BigInt(since) } : {}) };
        if (add.length > 0) await client.messageFlagsAdd(uids, add, options);
        if (remove.length > 0) await client.messageFlagsRemove(uids, remove, options);
    },

    async remove({ uids }) {
        await client.messageDelete(uids, { uid: true });
    },

    async move({ uids, to }) {
        await client.messageMove(uids, to, { uid: true });
    },

    async append({ file, to, flags = [] }) {
        return { uid: (await client.append(to, fs.readFileSync(file), flags)).uid };
    },

    async logout() {
        await orders.check();
        keep();
        await client.logout();
    },

    /** The connection is gone, without a word. */
    async drop() {
        keep();
        client.close();
    },

    async forget() {
        Object.assign(copy, { validity: undefined, highest: undefined, messages: new Map() });
    },

    async state() {
        return { messages: state(), highest: String(client.mailbox ? client.mailbox.highestModseq : copy.highest) };
    },
};

function keep() {
    if (client.mailbox) copy.highest = client.mailbox.highestModseq;
}

function gone(event) {
    let { uid } = event;
    if (event.vanished) heard[event.earlier ? 'earlier' : 'vanished'].push(uid);
    else {
        heard.expunged.push(event.seq);
        if (numbered) uid = [...copy.messages.keys()].sort((one, other) => one - other)[event.seq - 1];
    }
    copy.messages.delete(uid);
    wake();
}

function told(event) {
    const flags = plain(event.flags);
    heard.flags.push({ uid: event.uid, flags, modseq: String(event.modseq) });
    const message = copy.messages.get(event.uid);
    if (message) message.flags = flags;
    wake();
}

function plain(flags) {
    return [...flags].filter(flag => flag !== '\\Recent').sort();
}

/** Fetches what is new; the last message comes along even if it is not (RFC 3501 §6.4.8). */
async function discover() {
    behind = false;
    const next = Math.max(0, ...copy.messages.keys()) + 1;
    for await (const found of client.fetch(`${next}:*`, { flags: true, source: true }, { uid: true })) {
        if (found.uid >= next && found.source) {
            const octets = crypto.createHash('sha256').update(found.source).digest('hex');
            copy.messages.set(found.uid, { flags: plain(found.flags), octets });
        } else if (JSON.stringify(copy.messages.get(found.uid)?.flags) !== JSON.stringify(plain(found.flags))) told(found);
    }
}

/** By CONDSTORE alone: what has changed, and what is still there. */
async function compare() {
    numbered = false;
    for await (const found of client.fetch('1:*', { flags: true }, { uid: true, changedSince: copy.highest })) told(found);
    let there;
    do {
        there = new Set(await client.search({ all: true }, { uid: true }));
        // What is gone and was not told yet is counted and not found.
    } while (there.size !== client.mailbox.exists);
    numbered = true;
    for (const uid of copy.messages.keys()) if (!there.has(uid)) copy.messages.delete(uid);
}

function state() {
    return Object.fromEntries([...copy.messages].sort(([one], [other]) => one - other));
}

function equal(wanted) {
    const uids = Object.keys(wanted);
    return uids.length === copy.messages.size && uids.every(uid => {
        const message = copy.messages.get(Number(uid));
        return message && JSON.stringify(message.flags) === JSON.stringify(wanted[uid].flags);
    });
}

for await (const line of readline.createInterface({ input: process.stdin })) {
    const { order, ...what } = JSON.parse(line);
    let answer;
    try {
        answer = { ...await orders[order](what), heard };
    } catch (error) {
        answer = { error: `${order}: ${error.stack} ${error.responseText ?? ''}`, heard };
    }
    heard = silence();
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
