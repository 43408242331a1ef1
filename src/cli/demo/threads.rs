//! Conversations: who says what to whom, in which language.

use super::{
    people::{ALICE, ANA, BOB, CHLOE, HANAKO, JUERGEN, LAYLA, MARIA, MINJUN, PRIYA, Person, ZOE},
    sketch::Sketch,
};

/// A conversation: its subject, who takes part, and what is said by whom (by number).
struct Thread {
    subject: &'static str,
    reply: &'static str,
    people: &'static [Person],
    /// Days before today when it began, and hours between its messages.
    began: i64,
    pace: i64,
    lines: &'static [(usize, &'static str)],
}

const THREADS: &[Thread] = &[
    Thread {
        subject: "Sailing on Saturday? ⛵",
        reply: "Re: ",
        people: &[ZOE, ALICE, BOB],
        began: 4,
        pace: 5,
        lines: &[
            (
                0,
                "Hi you two,\n\nthe forecast says 14 knots from the south-west and sun. The boat is \
                 free from ten o'clock. Who is coming?\n\nZoë",
            ),
            (1, "I'm in! Shall I bring the big thermos again?\n\nAlice"),
            (2, "Me too, but I have to be back by five.\n\nBob"),
            (
                0,
                "Five is fine. Thermos: yes please. Bob, can you pick up the life vests from the \
                 club? They close at noon on Friday.",
            ),
            (2, "Will do. I have the key anyway."),
            (1, "Looking forward to it. I'll take the 9:12 train, see you at the pier."),
            (0, "Perfect. Pier 4, as always. 😎"),
        ],
    },
    Thread {
        subject: "Gartenfest am 21. – wer bringt was mit?",
        reply: "AW: ",
        people: &[JUERGEN, ALICE],
        began: 9,
        pace: 11,
        lines: &[
            (
                0,
                "Liebe Alice,\n\nam übernächsten Wochenende grillen wir wieder im Hof. Für Getränke \
                 und Würstchen ist gesorgt, über Salate und Süßes freuen wir uns.\n\nHerzliche \
                 Grüße\nJürgen",
            ),
            (
                1,
                "Lieber Jürgen,\n\nsehr gern! Ich bringe den Kartoffelsalat nach Omas Rezept mit und \
                 Äpfel aus dem Garten.\n\nAlice",
            ),
            (0, "Großartig. Der Kartoffelsalat war letztes Jahr als Erstes weg. Kommt Bob auch?"),
            (1, "Ja, er kommt gegen fünf und bringt seine Gitarre mit. Es wird schön! 🎸"),
            (0, "Dann räume ich die Bank unter der Linde frei. Bis bald!"),
        ],
    },
    Thread {
        subject: "来週の打ち合わせについて",
        reply: "Re: ",
        people: &[HANAKO, ALICE],
        began: 6,
        pace: 8,
        lines: &[
            (
                0,
                "アリス様\n\nいつもお世話になっております。来週の打ち合わせですが、水曜日の午後三時は\
                 いかがでしょうか。資料は前日までにお送りします。\n\n山田",
            ),
            (
                1,
                "山田様\n\nご連絡ありがとうございます。水曜日の三時で大丈夫です。よろしくお願いします。\
                 \n\nアリス",
            ),
            (0, "ありがとうございます。では水曜日の午後三時に、オンラインでお待ちしております。"),
            (
                1,
                "資料を拝見しました。とても分かりやすいです。一点だけ、三ページの表について当日\
                 ご相談させてください。",
            ),
        ],
    },
    Thread {
        subject: "رحلة نهاية الأسبوع",
        reply: "رد: ",
        people: &[LAYLA, ALICE],
        began: 13,
        pace: 9,
        lines: &[
            (
                0,
                "مرحبا أليس،\n\nهل تودين مرافقتنا إلى البحر يوم الجمعة؟ سننطلق في الثامنة صباحا.\n\n\
                 ليلى",
            ),
            (1, "مرحبا ليلى،\n\nبكل سرور! هل أحضر معي شيئا؟\n\nأليس"),
            (0, "فقط قبعة وابتسامة 🙂 الغداء علينا."),
        ],
    },
    Thread {
        subject: "Website relaunch: open points",
        reply: "Re: ",
        people: &[PRIYA, ALICE, BOB],
        began: 2,
        pace: 3,
        lines: &[
            (
                0,
                "Hi both,\n\nwhat is left before we can switch over:\n\n 1. redirects of the old \
                 addresses\n 2. alt texts for the gallery\n 3. the contact form on phones\n\nAnything \
                 else?\n\nPriya",
            ),
            (2, "Redirects are done, 214 of them, tested with the list from last month.\n\nBob"),
            (
                1,
                "> alt texts for the gallery\n\nI'll write them tonight. The contact form needs the \
                 keyboard fix first, otherwise the button hides behind it.\n\nAlice",
            ),
            (0, "Fix is in. Could one of you try it on a small screen?"),
            (2, "Works here on a five-year-old phone, portrait and landscape."),
            (1, "Same here. Alt texts are in, 62 pictures. I say we go on Thursday."),
            (0, "Thursday it is. Thanks, you two! 🚀"),
        ],
    },
    Thread {
        subject: "Nos vacances en Bretagne",
        reply: "RE: ",
        people: &[CHLOE, ALICE],
        began: 21,
        pace: 14,
        lines: &[
            (
                0,
                "Coucou Alice,\n\nnous voilà rentrés ! La maison près de la plage était un rêve, et \
                 les crêpes… je ne t'en dis pas plus. Je t'envoie les photos ce week-end.\n\nBises,\n\
                 Chloé",
            ),
            (
                1,
                "Quelle chance ! J'attends les photos avec impatience. Et le temps, pas trop de pluie \
                 ?",
            ),
            (
                0,
                "Deux averses en dix jours, c'est presque le désert. L'été prochain tu viens avec nous, \
                 c'est décidé.",
            ),
            (1, "C'est noté dans mon agenda, en rouge ! ❤️"),
        ],
    },
    Thread {
        subject: "🎂🎉 Surprise for Bob – do not tell him!",
        reply: "Re: ",
        people: &[ZOE, ALICE, PRIYA],
        began: 16,
        pace: 6,
        lines: &[
            (
                0,
                "Bob turns forty on the 30th. I booked the back room at Nero's for eight o'clock. \
                 Cake, candles, the works. Are you in?",
            ),
            (2, "Of course! I can make the playlist."),
            (1, "Count me in. I tell him it's a boring meeting about the harbour club."),
            (0, "Ha, he will believe that at once. 🤫"),
            (1, "He just asked me whether he has to wear a tie. 😂"),
        ],
    },
    Thread {
        subject: "Котёнок ищет дом",
        reply: "Re: ",
        people: &[MARIA, ALICE],
        began: 33,
        pace: 20,
        lines: &[
            (
                0,
                "Алиса, привет!\n\nУ нашей кошки четверо котят, троих уже разобрали. Остался самый \
                 рыжий. Ты же хотела кота?\n\nМаша",
            ),
            (1, "Хотела, но боюсь, что он съест мои цветы. Пришли фотографию!"),
            (0, "Цветы он пока не ест, только смотрит. Фотография завтра."),
        ],
    },
    Thread {
        subject: "프로젝트 일정 공유드립니다",
        reply: "Re: ",
        people: &[MINJUN, BOB],
        began: 8,
        pace: 7,
        lines: &[
            (
                0,
                "밥 님, 안녕하세요.\n\n다음 달 프로젝트 일정을 공유드립니다. 첫 번째 시험은 셋째 주에 \
                 시작합니다. 확인 부탁드립니다.\n\n김민준 드림",
            ),
            (1, "민준 님, 감사합니다. 일정 좋습니다. 셋째 주에 뵙겠습니다."),
            (0, "네, 그럼 그때 뵙겠습니다. 좋은 하루 되세요!"),
        ],
    },
    Thread {
        subject: "Receita do bolo de cenoura",
        reply: "Res: ",
        people: &[ANA, BOB],
        began: 27,
        pace: 30,
        lines: &[
            (
                0,
                "Oi Bob!\n\nAqui vai a receita: três cenouras médias, quatro ovos, uma xícara de óleo, \
                 duas de açúcar, duas e meia de farinha e uma colher de fermento. Quarenta minutos de \
                 forno e cobertura de chocolate por cima.\n\nBeijo,\nAna",
            ),
            (1, "Ana, ficou perfeito! Não sobrou nem uma migalha. Obrigado!"),
        ],
    },
    Thread {
        subject: "Night train or flight?",
        reply: "Re: ",
        people: &[BOB, ALICE],
        began: 1,
        pace: 2,
        lines: &[
            (
                0,
                "For the conference in Vienna: the night train leaves at 20:04 and arrives at 7:55, \
                 breakfast included. The flight is cheaper but at six in the morning. What do you \
                 think?",
            ),
            (1, "Night train. I sleep better on rails than in a queue."),
            (0, "Booked, two beds in carriage 24. Seats facing west, so we see the sunset."),
        ],
    },
];

/// Every message of every conversation, in its order.
pub(super) fn all(now: i64) -> Vec<Sketch> {
    let mut all = Vec::new();
    for thread in THREADS {
        let mut references = Vec::new();
        for ((who, text), number) in thread.lines.iter().zip(0_i64..) {
            let Some(from) = thread.people.get(*who) else {
                continue;
            };
            let others = thread.people.iter().filter(|person| *person != from);
            let others: Vec<_> = others.copied().collect();
            let subject = match number {
                0 => thread.subject.to_owned(),
                _ => thread.reply.to_owned() + thread.subject,
            };
            let date = now - thread.began * 86_400 + number * thread.pace * 3_600 + number * 137;
            let mut sketch = Sketch::new(*from, &others, &subject, text, date.min(now - 600));
            sketch.references.clone_from(&references);
            references.push(sketch.id.clone());
            all.push(sketch);
        }
    }
    all.extend(weekly(now));
    all
}

/// A long conversation: half a year of Monday reports.
fn weekly(now: i64) -> Vec<Sketch> {
    const DONE: [&str; 6] = [
        "moved the archive to the new shelf",
        "answered all questions about the relaunch",
        "counted the life vests (12)",
        "repaired the printer, again",
        "drew the plan for the spring regatta",
        "cleaned up the address list",
    ];
    let mut references: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for week in 0..26_i64 {
        let date = now - (26 - week) * 7 * 86_400;
        let at = usize::try_from(week).unwrap_or(0);
        let one = DONE.get(at % DONE.len()).copied().unwrap_or_default();
        let two = DONE.get((at * 5 + 2) % DONE.len()).copied().unwrap_or_default();
        let text = format!(
            "Good morning,\n\nlast week we\n\n * {one},\n * {two}.\n\nThis week: more of the same, and \
             coffee.\n\nPriya"
        );
        let subject = if week == 0 { "Monday report" } else { "Re: Monday report" };
        let mut sketch = Sketch::new(PRIYA, &[ALICE, BOB], subject, &text, date);
        sketch.references.clone_from(&references);
        references.push(sketch.id.clone());
        all.push(sketch);
    }
    all
}
