//! Lists of names, in which comments stay beside the names they are about.

use toml_edit::{Array, Value};

/// Adds names that are not in it yet, in the form of the last one.
pub(super) fn add(list: &mut Array, names: &[impl AsRef<str>]) {
    for name in names.iter().map(AsRef::as_ref) {
        if list.iter().any(|value| value.as_str() == Some(name)) {
            continue;
        }
        let Some(end) = list.len().checked_sub(1) else {
            list.push(name);
            continue;
        };
        let indent = split(&raw_prefix(list, end)).1;
        if !indent.contains('\n') {
            list.push(name);
            continue;
        }
        // What stands behind the last name on its line is about that name.
        let behind = if list.trailing_comma() {
            list.trailing().as_str().unwrap_or_default().to_owned()
        } else {
            take_suffix(list, end)
        };
        let (own, rest) = split(&behind);
        let indent = indent.rsplit_once('\n').map_or("", |(_, indent)| indent).to_owned();
        let comments = rest.rsplit_once('\n').map_or("", |(comments, _)| comments);
        let closing = rest.rsplit_once('\n').map_or("", |(_, closing)| closing);
        let had_comma = list.trailing_comma();
        let value = Value::from(name).decorated(format!("{own}{comments}\n{indent}"), "");
        list.push_formatted(value);
        list.set_trailing(format!("\n{closing}"));
        list.set_trailing_comma(true);
        if !had_comma {
            list.set_trailing("");
            list.set_trailing_comma(false);
            set_suffix(list, end + 1, &format!("\n{closing}"));
        }
    }
}

/// Takes out a name wherever it stands. Whether it did.
pub(super) fn remove(list: &mut Array, name: &str) -> bool {
    let mut found = false;
    loop {
        let at = list.iter().position(|value| value.as_str() == Some(name));
        let Some(at) = at else { return found };
        found = true;
        remove_at(list, at);
    }
}

fn remove_at(list: &mut Array, at: usize) {
    let prefix = raw_prefix(list, at);
    let (of_the_one_before, _) = split(&prefix);
    let is_last = at + 1 == list.len();
    if !is_last {
        let next = raw_prefix(list, at + 1);
        let (_, next_own) = split(&next);
        let new =
            if next_own.contains('\n') { format!("{of_the_one_before}{next_own}") } else { prefix };
        if let Some(value) = list.get_mut(at + 1) {
            value.decor_mut().set_prefix(new);
        }
        list.remove(at);
        return;
    }
    if list.trailing_comma() {
        let trailing = list.trailing().as_str().unwrap_or_default().to_owned();
        let (_, own) = split(&trailing);
        list.remove(at);
        list.set_trailing(format!("{of_the_one_before}{own}"));
        if list.is_empty() {
            list.set_trailing_comma(false);
        }
    } else {
        let suffix = take_suffix(list, at);
        let (_, own) = split(&suffix);
        list.remove(at);
        let closing = format!("{of_the_one_before}{own}");
        match at.checked_sub(1) {
            // A comment behind a comma needs its comma.
            Some(_) if closing.contains('#') => {
                list.set_trailing_comma(true);
                list.set_trailing(closing);
            }
            Some(before) => {
                let kept = take_suffix(list, before);
                set_suffix(list, before, &format!("{kept}{closing}"));
            }
            None => list.set_trailing(closing),
        }
    }
}

/// What stands on the line of the value before, and the lines that follow.
fn split(text: &str) -> (String, String) {
    match text.find('\n') {
        Some(at) => {
            let (head, rest) = text.split_at(at);
            (head.to_owned(), rest.to_owned())
        }
        None => (String::new(), text.to_owned()),
    }
}

fn raw_prefix(list: &Array, at: usize) -> String {
    let decor = list.get(at).map(Value::decor);
    let prefix = decor.and_then(|decor| decor.prefix()).and_then(|raw| raw.as_str());
    prefix.unwrap_or(if at == 0 { "" } else { " " }).to_owned()
}

fn take_suffix(list: &mut Array, at: usize) -> String {
    let Some(value) = list.get_mut(at) else { return String::new() };
    let suffix = value.decor().suffix().and_then(|raw| raw.as_str()).unwrap_or_default();
    let suffix = suffix.to_owned();
    value.decor_mut().set_suffix("");
    suffix
}

fn set_suffix(list: &mut Array, at: usize, suffix: &str) {
    if let Some(value) = list.get_mut(at) {
        value.decor_mut().set_suffix(suffix);
    }
}

#[cfg(test)]
mod tests {
    use toml_edit::DocumentMut;

    use super::*;

    fn edited(before: &str, edit: impl Fn(&mut Array)) -> String {
        let mut document: DocumentMut = before.parse().unwrap();
        edit(document["l"].as_array_mut().unwrap());
        let text = document.to_string();
        assert!(text.parse::<DocumentMut>().is_ok(), "{text}");
        text
    }

    #[test]
    fn names_come_in_the_form_of_the_last() {
        for (before, after) in [
            ("l = []\n", "l = [\"n\"]\n"),
            ("l = ['a']\n", "l = ['a', \"n\"]\n"),
            ("l = [ 'a' ] # c\n", "l = [ 'a' , \"n\"] # c\n"),
            ("l = ['n']\n", "l = ['n']\n"),
            ("l = [\n  'a',\n]\n", "l = [\n  'a',\n  \"n\",\n]\n"),
            ("l = [\n  'a'\n]\n", "l = [\n  'a',\n  \"n\"\n]\n"),
            ("l = [\n  'a', # is a\n  # end\n]\n", "l = [\n  'a', # is a\n  # end\n  \"n\",\n]\n"),
            ("l = [\n  'a' # is a\n]\n", "l = [\n  'a', # is a\n  \"n\"\n]\n"),
        ] {
            assert_eq!(edited(before, |list| add(list, &["n", "n"])), after, "{before}");
        }
    }

    #[test]
    fn comments_stay_beside_the_names_they_are_about() {
        for (before, after) in [
            ("l = ['n']\n", "l = []\n"),
            ("l = ['n', 'a']\n", "l = ['a']\n"),
            ("l = ['a', 'n']\n", "l = ['a']\n"),
            ("l = ['a', 'n', 'b', 'n']\n", "l = ['a', 'b']\n"),
            ("l = ['a']\n", "l = ['a']\n"),
            (
                "l = [\n  'a', # a's\n  'n', # n's\n  'b', # b's\n]\n",
                "l = [\n  'a', # a's\n  'b', # b's\n]\n",
            ),
            ("l = [\n  'n', # n's\n  'b', # b's\n]\n", "l = [\n  'b', # b's\n]\n"),
            ("l = [\n  'a', # a's\n  # n's\n  'n',\n]\n", "l = [\n  'a', # a's\n]\n"),
            ("l = [\n  'a', # a's\n  'n' # n's\n]\n", "l = [\n  'a', # a's\n]\n"),
            ("l = [\n  'a',\n  'n'\n]\n", "l = [\n  'a'\n]\n"),
            ("l = [\n  'n',\n]\n", "l = [\n]\n"),
        ] {
            assert_eq!(edited(before, |list| _ = remove(list, "n")), after, "{before}");
        }
    }
}
