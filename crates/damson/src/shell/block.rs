//! Whether the user is in a transaction block, for the prompt.

use super::script::first_word;

/// As psql shows it: nothing, `*`, or `!` where only ROLLBACK helps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Block {
    #[default]
    Outside,
    Inside,
    Failed,
}

impl Block {
    pub(super) fn prompt(self) -> &'static str {
        match self {
            Block::Outside => "damson=> ",
            Block::Inside => "damson=*> ",
            Block::Failed => "damson=!> ",
        }
    }

    /// After a command that answered `tag`.
    pub(super) fn after(self, tag: &str, statement: &str) -> Self {
        let has =
            |word: &str| statement.split(|c: char| !c.is_alphanumeric()).any(|other| other.eq_ignore_ascii_case(word));
        match tag {
            "BEGIN" | "START TRANSACTION" => Block::Inside,
            // To a savepoint, or into the next transaction.
            "ROLLBACK" if has("to") => Block::Inside,
            "COMMIT" | "ROLLBACK" if has("chain") && !has("no") && self != Block::Outside => Block::Inside,
            "COMMIT" | "ROLLBACK" => Block::Outside,
            _ => self,
        }
    }

    /// After a statement that failed, with this SQLSTATE.
    pub(super) fn after_error(self, statement: &str, sqlstate: Option<&str>) -> Self {
        match self {
            Block::Outside => Block::Outside,
            // A COMMIT that could not be done has rolled back. One that was not understood has done nothing.
            Block::Inside if is_commit(statement) && sqlstate.is_some_and(|state| !is_misread(state)) => Block::Outside,
            Block::Inside | Block::Failed => Block::Failed,
        }
    }
}

fn is_commit(statement: &str) -> bool {
    let word = first_word(statement);
    word.eq_ignore_ascii_case("commit") || word.eq_ignore_ascii_case("end")
}

/// Syntax errors, and what is not supported.
fn is_misread(sqlstate: &str) -> bool {
    sqlstate.starts_with("42") || sqlstate == "0A000"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_follows_the_block() {
        let block = Block::default().after("CREATE TABLE", "create table begin (k int)");
        assert_eq!(block.prompt(), "damson=> ");
        let error = |block: Block| block.after_error("select 1 / 0", Some("22012"));
        assert_eq!(error(block), Block::Outside);
        assert_eq!(block.after("BEGIN", "begin"), Block::Inside);
        let block = block.after("START TRANSACTION", "start transaction");
        assert_eq!(block.prompt(), "damson=*> ");
        assert_eq!(block.after("INSERT 0 1", "insert into t values (1)"), Block::Inside);
        let failed = error(block);
        assert_eq!(failed.prompt(), "damson=!> ");
        assert_eq!(failed.after("ROLLBACK", "rollback to savepoint a"), Block::Inside);
        assert_eq!(failed.after("ROLLBACK", "commit"), Block::Outside);
        assert_eq!(block.after("COMMIT", "COMMIT AND CHAIN"), Block::Inside);
        assert_eq!(block.after("COMMIT", "commit and no chain"), Block::Outside);
    }

    #[test]
    fn a_commit_that_fails_ends_the_block() {
        for commit in ["COMMIT", "commit and chain", "-- all of it\nEND"] {
            assert_eq!(Block::Inside.after_error(commit, Some("40001")), Block::Outside, "{commit}");
        }
        assert_eq!(Block::Inside.after_error("commit nonsense", Some("42601")), Block::Failed);
        assert_eq!(Block::Inside.after_error("commit prepared 'x'", Some("0A000")), Block::Failed);
        // Nobody knows.
        assert_eq!(Block::Inside.after_error("commit", None), Block::Failed);
        assert_eq!(Block::Inside.after_error("select commit", Some("40001")), Block::Failed);
    }
}
