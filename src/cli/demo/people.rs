//! Who writes in the demonstration.

/// Somebody with a name and an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) address: &'static str,
}

const fn person(name: &'static str, address: &'static str) -> Person {
    Person { name, address }
}

pub(super) const ALICE: Person = person("Alice Ferrand", "alice@demo.example");
pub(super) const BOB: Person = person("Bob Okafor", "bob@demo.example");
pub(super) const ZOE: Person = person("Zoë Castellanos", "zoe@castellanos.example");
pub(super) const JUERGEN: Person = person("Jürgen Müller", "juergen.mueller@beispiel.example");
pub(super) const HANAKO: Person = person("山田 花子", "hanako.yamada@tokyo.example");
pub(super) const LAYLA: Person = person("ليلى حداد", "layla.haddad@cairo.example");
pub(super) const CHLOE: Person = person("Chloé Dubois", "chloe@dubois.example");
pub(super) const MARIA: Person = person("Мария Иванова", "maria@ivanova.example");
pub(super) const MINJUN: Person = person("김민준", "minjun.kim@seoul.example");
pub(super) const PRIYA: Person = person("Priya Raman", "priya.raman@studio.example");
pub(super) const ANA: Person = person("Ana Lúcia Pereira", "ana@pereira.example");
pub(super) const CI: Person = person("Build Robot", "robot@ci.example");
pub(super) const SHOP: Person = person("Paper & Ink", "orders@paperandink.example");
pub(super) const PARCELS: Person = person("Swift Parcels", "no-reply@swiftparcels.example");
pub(super) const GAZETTE: Person = person("The Harbour Gazette", "news@gazette.example");
pub(super) const GARTEN: Person = person("Gartenfreunde", "brief@gartenfreunde.example");
pub(super) const RECIPES: Person = person("Sunday Kitchen", "hello@sundaykitchen.example");
pub(super) const PRIZES: Person = person("INTERNATIONAL LOTTERY", "winner@lucky.example");
