//! A store with one account in it, and nothing of the house above.

use mailade::{
    events::{Door, Origin},
    ids::AccountId,
    mail::Mail,
    store::{Error, NewAccount, Tx},
};

/// When everything happens, in seconds since 1970.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn origin() -> Origin {
    Origin::new(Door::House, NOW)
}

/// Makes alice@demo.example with her default mailboxes.
pub(crate) fn add_account(tx: &mut Tx<'_>) -> Result<AccountId, Error> {
    tx.add_domain("demo.example")?;
    let account = tx.add_account(&NewAccount {
        address_key: "alice@demo.example".into(),
        address: "alice@demo.example".into(),
        domain: "demo.example".into(),
        full_name: String::new(),
        owner: false,
        password: None,
        scram_salt: vec![1],
        scram_iterations: 4096,
        scram: None,
    })?;
    Mail::add_default_mailboxes(tx, account).map_err(|_| Error::Closed)?;
    Ok(account)
}
