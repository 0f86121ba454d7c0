//! Whether the user is in a transaction block, for the prompt.

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
            "BEGIN" => Block::Inside,
            // To a savepoint, or into the next transaction.
            "ROLLBACK" if has("to") => Block::Inside,
            "COMMIT" | "ROLLBACK" if has("chain") && !has("no") && self != Block::Outside => Block::Inside,
            "COMMIT" | "ROLLBACK" => Block::Outside,
            _ => self,
        }
    }

    /// After a statement that failed.
    pub(super) fn after_error(self) -> Self {
        match self {
            Block::Outside => Block::Outside,
            Block::Inside | Block::Failed => Block::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_follows_the_block() {
        let block = Block::default().after("CREATE TABLE", "create table begin (k int)");
        assert_eq!(block.prompt(), "damson=> ");
        assert_eq!(block.after_error(), Block::Outside);
        let block = block.after("BEGIN", "start transaction");
        assert_eq!(block.prompt(), "damson=*> ");
        assert_eq!(block.after("INSERT 0 1", "insert into t values (1)"), Block::Inside);
        let failed = block.after_error();
        assert_eq!(failed.prompt(), "damson=!> ");
        assert_eq!(failed.after("ROLLBACK", "rollback to savepoint a"), Block::Inside);
        assert_eq!(failed.after("ROLLBACK", "commit"), Block::Outside);
        assert_eq!(block.after("COMMIT", "COMMIT AND CHAIN"), Block::Inside);
        assert_eq!(block.after("COMMIT", "commit and no chain"), Block::Outside);
    }
}
