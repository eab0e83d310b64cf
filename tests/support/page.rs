//! Reads the code blocks of a Markdown page.

/// A part of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A line outside all blocks.
    Line(&'a str),
    /// A fenced block: the text after its fence, such as `yaml a.yaml`, and its contents.
    Block { info: &'a str, text: &'a str },
}

/// Returns the parts of a page, in their order. Fences are not indented.
pub(crate) fn parts(page: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = page;
    std::iter::from_fn(move || {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if rest.is_empty() {
            return None;
        }
        rest = after;
        let Some(info) = line.strip_prefix("```") else {
            return Some(Part::Line(line));
        };
        let fence = "```\n";
        let is_last = |at: &usize| *at == 0 || rest.as_bytes()[at - 1] == b'\n';
        let end = rest.match_indices(fence).map(|(at, _)| at).find(is_last);
        let end = end.expect("a block is closed");
        let text = &rest[..end];
        rest = &rest[end + fence.len()..];
        Some(Part::Block { info, text })
    })
}

#[test]
fn a_block_ends_at_a_fence_that_begins_a_line() {
    let page = "a\n```sh run\nb ```\n```\n```yaml\n```\n\nc";
    let found: Vec<_> = parts(page).collect();
    let block = |info, text| Part::Block { info, text };
    assert_eq!(
        found,
        [
            Part::Line("a"),
            block("sh run", "b ```\n"),
            block("yaml", ""),
            Part::Line(""),
            Part::Line("c")
        ]
    );
}
