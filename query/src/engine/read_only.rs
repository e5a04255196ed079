//! What a statement may be: one query, of bounded size, that changes nothing and reads only our tables.
//!
//! Three gates, in this order, because each protects the next one:
//! 1. text length and a count of tokens: long flat chains of operators and deep brackets end the process
//!    inside a recursive planner, so they are refused before anything is parsed;
//! 2. the parsed statement: exactly one, and a query (or `EXPLAIN` of a query, without `ANALYZE`);
//! 3. the logical plan: a list of nodes that may stand in it, subqueries included, and expressions that cannot make
//!    values without bound (`growth.rs`) or look at all rows for each row (`windows.rs`). Functions that are not on a list of ours do not exist (`allowed.rs`).

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{SetExpr, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::{growth, windows};
use crate::error::{Error, Result};

/// Longest statement, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 10;
/// Most operators in a row (`AND`, `OR`, `+`, ...) between two commas or brackets.
const CHAIN_MAX: usize = 500;
/// Deepest brackets.
const DEPTH_MAX: usize = 50;
/// Most set operations (`UNION`, ...), joins and `CASE` branches of a statement, each.
const PARTS_MAX: usize = 200;

/// Parses a statement that may run.
///
/// # Errors
/// [`Error::Invalid`] with the byte position when the parser says where.
pub(crate) fn parse(sql: &str) -> Result<Statement> {
    if sql.len() > TEXT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the statement has {} bytes; at most {TEXT_BYTES_MAX} are allowed",
            sql.len()
        )));
    }
    check_tokens(sql)?;
    let mut statements = DFParser::parse_sql(sql).map_err(|error| located(sql, Error::from(error)))?;
    let statement = match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => statement,
        (Some(_), n) => {
            return Err(Error::invalid(format!("{} statements were sent; send exactly one", n + 1)));
        }
        (None, _) => return Err(Error::invalid("the statement is empty; try: SELECT * FROM spans LIMIT 10")),
    };
    if is_query(&statement) { Ok(statement) } else { Err(not_a_query()) }
}

/// Refuses plans that do anything but read.
///
/// # Errors
/// [`Error::Invalid`] that says what is allowed.
pub(crate) fn verify(plan: &LogicalPlan) -> Result<()> {
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(plan).map_err(|_| not_a_query())?;
    let mut refused = false;
    plan.apply_with_subqueries(|node| {
        refused |= !matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Join(_)
                | LogicalPlan::Repartition(_)
                | LogicalPlan::Union(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::EmptyRelation(_)
                | LogicalPlan::Subquery(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Limit(_)
                | LogicalPlan::Values(_)
                | LogicalPlan::Explain(_)
                | LogicalPlan::Distinct(_)
                | LogicalPlan::Unnest(_)
        );
        Ok(if refused { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if refused {
        return Err(not_a_query());
    }
    growth::verify(plan)?;
    windows::verify(plan)
}

fn not_a_query() -> Error {
    Error::invalid(
        "only queries can be run here (SELECT, WITH, VALUES, EXPLAIN without ANALYZE); nothing can be changed",
    )
}

fn is_query(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => match statement.as_ref() {
            SqlStatement::Query(query) => {
                !matches!(query.body.as_ref(), SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_))
                    && query.locks.is_empty()
            }
            _ => false,
        },
        Statement::Explain(explain) => !explain.options.analyze && is_query(&explain.statement),
        _ => false,
    }
}

/// Bounds what recursive code will see, on tokens.
fn check_tokens(sql: &str) -> Result<()> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().map_err(|error| {
        let position = byte_offset(sql, error.location);
        Error::Invalid { detail: error.message, position }
    })?;
    let (mut depth, mut chains, mut parts) = (0usize, vec![0usize], [0usize; 3]);
    for TokenWithSpan { token, span } in &tokens {
        let too_much = |what: &str, limit: usize| Error::Invalid {
            detail: format!("more than {limit} {what}; use IN (...), a join with VALUES, or several queries"),
            position: byte_offset(sql, span.start),
        };
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                depth += 1;
                chains.push(0);
                if depth > DEPTH_MAX {
                    return Err(too_much("levels of brackets", DEPTH_MAX));
                }
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                depth = depth.saturating_sub(1);
                if chains.len() > 1 {
                    chains.pop();
                }
            }
            Token::Comma | Token::SemiColon => *chains.last_mut().expect("never empty: the first stays") = 0,
            Token::Word(word) if word.quote_style.is_none() => {
                let word = word.value.to_ascii_uppercase();
                match word.as_str() {
                    "UNION" | "INTERSECT" | "EXCEPT" => parts[0] += 1,
                    "JOIN" => parts[1] += 1,
                    "WHEN" => parts[2] += 1,
                    _ => {}
                }
                if parts.iter().any(|n| *n > PARTS_MAX) {
                    return Err(too_much("set operations, joins or CASE branches", PARTS_MAX));
                }
                if matches!(
                    word.as_str(),
                    "AND" | "OR" | "XOR" | "NOT" | "LIKE" | "ILIKE" | "IS" | "BETWEEN" | "DIV" | "COLLATE" | "SIMILAR"
                ) {
                    let chain = chains.last_mut().expect("never empty: the first stays");
                    *chain += 1;
                    if *chain > CHAIN_MAX {
                        return Err(too_much("operators in a row", CHAIN_MAX));
                    }
                }
            }
            Token::Whitespace(_)
            | Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Placeholder(_)
            | Token::EOF => {}
            _ => {
                let chain = chains.last_mut().expect("never empty: the first stays");
                *chain += 1;
                if *chain > CHAIN_MAX {
                    return Err(too_much("operators in a row", CHAIN_MAX));
                }
            }
        }
    }
    Ok(())
}

/// Takes the position out of a parser's message: `... at Line: 1, Column: 8`.
pub(crate) fn located(sql: &str, error: Error) -> Error {
    let Error::Invalid { detail, position: None } = error else { return error };
    let found = detail.rsplit_once(" at Line: ").and_then(|(before, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        let column: String = column.chars().take_while(char::is_ascii_digit).collect();
        let location = Location { line: line.trim().parse().ok()?, column: column.parse().ok()? };
        Some((before.to_owned(), byte_offset(sql, location)))
    });
    match found {
        Some((detail, position)) => {
            Error::Invalid { detail: detail.trim_start_matches("sql parser error: ").to_owned(), position }
        }
        None => {
            let detail = detail.trim_start_matches("sql parser error: ").to_owned();
            let position = detail.ends_with("found: EOF").then_some(sql.len());
            Error::Invalid { detail, position }
        }
    }
}

/// Byte offset of a place given in lines and characters, both from 1; `None` for "nowhere".
fn byte_offset(sql: &str, location: Location) -> Option<usize> {
    if location.line == 0 {
        return None;
    }
    let line = usize::try_from(location.line - 1).ok()?;
    let column = usize::try_from(location.column.saturating_sub(1)).ok()?;
    let mut start = 0;
    for (index, text) in sql.split_inclusive('\n').enumerate() {
        if index == line {
            let inside = text.char_indices().nth(column).map_or(text.len(), |(offset, _)| offset);
            return Some(start + inside);
        }
        start += text.len();
    }
    Some(sql.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(sql: &str) -> (String, Option<usize>) {
        match parse(sql) {
            Err(Error::Invalid { detail, position }) => (detail, position),
            other => panic!("{sql} gave {other:?}"),
        }
    }

    /// Everything that could change something is refused before it is planned.
    #[test]
    fn writes_are_refused() {
        for sql in [
            "DELETE FROM spans",
            "INSERT INTO spans VALUES (1)",
            "UPDATE spans SET name = ''",
            "DROP TABLE spans",
            "CREATE TABLE x AS SELECT 1",
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE VIEW x AS SELECT 1",
            "COPY spans TO '/tmp/x.parquet'",
            "COPY (SELECT 1) TO '/tmp/x.csv'",
            "SET datafusion.execution.batch_size = 1",
            "RESET datafusion.execution.batch_size",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "BEGIN",
            "EXPLAIN ANALYZE SELECT 1",
            "EXPLAIN DELETE FROM spans",
            "SHOW TABLES",
            "TRUNCATE spans",
            "WITH x AS (SELECT 1) INSERT INTO spans SELECT * FROM x",
            "SELECT * FROM spans FOR UPDATE",
        ] {
            let (detail, _) = refused(sql);
            assert!(detail.contains("only queries"), "{sql}: {detail}");
        }
    }

    #[test]
    fn one_statement_only() {
        assert!(refused("SELECT 1; SELECT 2").0.contains("2 statements"));
        assert!(refused("  ").0.contains("empty"));
        assert!(parse("SELECT 1;").is_ok());
        assert!(parse("EXPLAIN SELECT 1").is_ok());
    }

    /// Chains that would end the process inside the planner are refused on their tokens.
    #[test]
    fn long_chains_are_refused() {
        let or = vec!["a = 1"; 10_000].join(" OR ");
        assert!(refused(&format!("SELECT 1 WHERE {}", &or[..60_000])).0.contains("operators in a row"));
        let plus = format!("SELECT {}", vec!["1"; 20_000].join("+"));
        assert!(refused(&plus).0.contains("operators in a row"));
        let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(refused(&deep).0.contains("levels of brackets"));
        let union = vec!["SELECT 1"; 3_000].join(" UNION ALL ");
        assert!(refused(&union).0.contains("set operations"));
        assert!(refused(&"x".repeat(TEXT_BYTES_MAX + 1)).0.contains("bytes"));
        let list = format!("SELECT 1 WHERE 1 IN ({})", vec!["1"; 2_000].join(","));
        assert!(parse(&list).is_ok(), "lists are flat");
    }

    #[test]
    fn errors_have_a_position() {
        let (_, position) = refused("SELECT 1\nFROM spans WHERE");
        assert_eq!(position, Some(25), "the end");
        let (_, position) = refused("SELECT 1\nFROM spans )");
        assert_eq!(position, Some(20), "on the second line");
        let (_, position) = refused("SELECT 'open");
        assert!(position.is_some());
    }
}
