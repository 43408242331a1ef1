//! Looking again at messages that have changed or come, for a search that is kept true.

use super::{facts::Known, key::Program, progress::Progress};
use crate::{
    ids::Uid,
    mail::{Mail, Mailbox, Rights, error::Result},
};

/// Messages looked at while commits wait.
const AT_ONCE: usize = 4_096;

impl Mail {
    /// Those of these messages, UIDs rising, that match. One that is gone matches nothing.
    pub async fn search_among(
        &self,
        mailbox: &Mailbox,
        mut program: Program,
        uids: &[Uid],
    ) -> Result<Vec<Uid>> {
        mailbox.need(Rights::READ)?;
        if uids.is_empty() {
            return Ok(Vec::new());
        }
        let view = self.view(mailbox).await?;
        program.bind(&view.messages());
        let (mut found, mut open) = (Vec::new(), Vec::new());
        for uids in uids.chunks(AT_ONCE) {
            let messages = view.messages();
            for entry in uids.iter().filter_map(|uid| messages.find(*uid)) {
                match program.matches(&mut Known(&entry))? {
                    Some(true) => found.push(entry.uid),
                    Some(false) => {}
                    None => open.push(entry),
                }
            }
        }
        self.decide(program, found, open, &Progress::default()).await
    }
}
