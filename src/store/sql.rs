//! How our types stand in SQL, and short words for the statements of the other files.

use rusqlite::{
    OptionalExtension as _, Params, Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};

use super::{error::Result, reader::Reader};
use crate::{
    flags::{Flags, Keywords},
    ids::{
        AccountId, ContentId, DeviceId, MailboxId, ModSeq, QueueId, SendingId, ThreadId, Uid,
        UidValidity,
    },
};

/// A row id stands as its number.
macro_rules! row_id_in_sql {
    ($($name:ident),+) => {
        $(
            impl ToSql for $name {
                fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                    self.0.to_sql()
                }
            }

            impl FromSql for $name {
                fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                    i64::column_result(value).map(Self)
                }
            }
        )+
    };
}

row_id_in_sql!(AccountId, ContentId, DeviceId, MailboxId, QueueId, SendingId, ThreadId);

impl ToSql for Uid {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.get()))
    }
}

impl FromSql for Uid {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        let uid = u32::try_from(number).ok().and_then(Self::new);
        uid.ok_or(FromSqlError::OutOfRange(number))
    }
}

impl ToSql for UidValidity {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for UidValidity {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u32::column_result(value).map(Self)
    }
}

impl ToSql for ModSeq {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(i64::try_from(self.0).unwrap_or(i64::MAX)))
    }
}

impl FromSql for ModSeq {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        u64::try_from(number).map(Self).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

impl ToSql for Flags {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for Flags {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u32::column_result(value).map(Self)
    }
}

impl ToSql for Keywords {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.to_bytes()))
    }
}

impl FromSql for Keywords {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_blob().map(Self::from_bytes)
    }
}

/// A count of octets or messages as SQLite keeps it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count as it came from SQLite; a negative one, which is never written, counts as zero.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Reader<'_> {
    /// The first row of a statement, if it has one.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        f: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let row = || self.sql.prepare_cached(sql)?.query_row(params, f).optional();
        self.seen(row())
    }

    /// All rows of a statement.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        f: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let rows = || self.sql.prepare_cached(sql)?.query_map(params, f)?.collect();
        self.seen(rows())
    }

    /// Runs a statement that gives no rows; says how many it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        let execute = || self.sql.prepare_cached(sql)?.execute(params);
        self.seen(execute())
    }
}
