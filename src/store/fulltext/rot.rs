//! Damage to the index for tests, of kinds that neither SQLite nor the full-text engine notices.

use std::path::Path;

use rusqlite::{Connection, params};

/// Changes one octet of a closed index so that a trigram in headers is no longer found.
pub(crate) fn hide(path: &Path, trigram: &str) {
    let sql = Connection::open(path).unwrap();
    let look = || {
        let count = "SELECT count(*) FROM head WHERE head MATCH ?1";
        sql.query_row(count, [format!("\"{trigram}\"")], |row| row.get::<_, i64>(0))
    };
    let before = look().unwrap();
    let mut blocks = sql.prepare("SELECT id, block FROM head_data WHERE id > 10").unwrap();
    let blocks = blocks.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let blocks: Vec<(i64, Vec<u8>)> = blocks.unwrap().collect::<Result<_, _>>().unwrap();
    for (id, block) in blocks {
        for place in 4..block.len() {
            let mut rotten = block.clone();
            rotten[place] ^= 1;
            sql.execute_batch("SAVEPOINT try").unwrap();
            let put = "UPDATE head_data SET block = ?2 WHERE id = ?1";
            sql.execute(put, params![id, rotten]).unwrap();
            if look().is_ok_and(|found| found < before) {
                sql.execute_batch("RELEASE try").unwrap();
                return;
            }
            sql.execute_batch("ROLLBACK TO try; RELEASE try").unwrap();
        }
    }
    panic!("no octet hides {trigram}");
}

/// Takes out of a closed index the way to a block of bodies that is there.
pub(crate) fn lose_the_way(path: &Path) {
    let sql = Connection::open(path).unwrap();
    let lost = "DELETE FROM body_idx WHERE (segid, term) IN
        (SELECT segid, term FROM body_idx WHERE pgno > 3 LIMIT 1)";
    assert_eq!(sql.execute(lost, []).unwrap(), 1);
}

/// Takes a content out of a closed index, as if it had never been added.
pub(crate) fn forget(path: &Path, content: i64) {
    let sql = Connection::open(path).unwrap();
    for table in ["head", "body"] {
        let forget = format!("DELETE FROM {table} WHERE rowid = ?1");
        assert_eq!(sql.execute(&forget, [content]).unwrap(), 1);
    }
}
