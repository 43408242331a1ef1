"""IMAPClient: a mail reader's day over TLS: lists, reads 300 messages, changes flags while another
session does too, moves, expunges, appends, waits in IDLE for a delivery."""

import ssl

import imapclient

import check
import mail
from house import ALICE, PASSWORD


def job(house, folder):
    messages = mail.all_messages() + mail.written()
    tls = ssl.create_default_context(cafile=house.certificate)
    with imapclient.IMAPClient("localhost", house.ports["imaps"], ssl_context=tls) as client:
        client.plain_login(ALICE, PASSWORD)
        roles = {flags[-1]: name for flags, _, name in client.list_folders() if flags}
        assert roles[b"\\Sent"] == "Sent" and roles[b"\\Trash"] == "Trash", roles
        for name in ("Grüße/日本", "a & b"):
            client.create_folder(name)
        assert "Grüße/日本" in [name for _, _, name in client.list_folders()]
        client.select_folder("Grüße/日本")
        for octets in messages:
            client.append("Grüße/日本", octets, [imapclient.SEEN])
        uids = client.search("ALL", "UTF-8")
        assert len(uids) == len(messages)
        kept = {}
        for start in range(0, len(uids), 50):
            for uid, data in client.fetch(uids[start:start + 50], ["BODY[]", "FLAGS", "RFC822.SIZE"]).items():
                kept[uid] = data[b"BODY[]"]
                assert data[b"RFC822.SIZE"] == len(data[b"BODY[]"])
        check.same_in_order([kept[uid] for uid in uids], messages, "as appended")
        partial = client.fetch(uids[49], ["BODY[]<1000.5000>"])[uids[49]]
        check.equal(partial[b"BODY[]<1000>"], messages[49][1000:6000], "a partial")
        read = client.fetch(uids[:20], ["ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE"])
        assert [read[uid][b"ENVELOPE"].subject for uid in uids[:20]] == [
            f"message {number}".encode() for number in range(20)]

        client.add_flags(uids[:5], [imapclient.FLAGGED, "$Todo"])
        with house.judge() as judge:
            judge.store(imap_name("Grüße/日本"), uids[5:10], "+FLAGS", "\\Answered")
        client.noop()
        flags = client.get_flags(uids[:10])
        assert all(imapclient.FLAGGED in flags[uid] and b"$Todo" in flags[uid] for uid in uids[:5])
        assert all(imapclient.ANSWERED in flags[uid] for uid in uids[5:10])
        assert client.search(["KEYWORD", "$Todo"]) == uids[:5]
        assert client.search(["SUBJECT", "message 7", "NOT", "FLAGGED"], "UTF-8")[0] == uids[7]

        client.move(uids[10:20], "a & b")
        client.copy(uids[20:30], "a & b")
        client.delete_messages(uids[30:40])
        client.uid_expunge(uids[30:40])
        assert client.search() == uids[:10] + uids[20:30] + uids[40:]
        status = client.folder_status("a & b", ["MESSAGES", "UIDNEXT", "UNSEEN"])
        assert (status[b"MESSAGES"], status[b"UNSEEN"]) == (20, 0), status
        client.select_folder("a & b", readonly=True)
        moved = client.fetch(client.search(), ["BODY.PEEK[]"])
        check.same_in_order([data[b"BODY[]"] for _, data in sorted(moved.items())], messages[10:30], "a & b")

        client.select_folder("INBOX")
        client.idle()
        house.deliver(messages[:1])
        news = []
        while (1, b"EXISTS") not in news:
            more = client.idle_check(timeout=20)
            assert more, f"IDLE heard only {news}"
            news += more
        client.idle_done()
        check.arrived([client.fetch(1, ["BODY[]"])[1][b"BODY[]"]], messages[:1], "INBOX")

        client.rename_folder("Grüße/日本", "Grüße/nihon")
        client.delete_folder("a & b")
        names = [name for _, _, name in client.list_folders()]
        assert "Grüße/nihon" in names and "a & b" not in names, names


def imap_name(name):
    return imapclient.imap_utf7.encode(name).decode()
