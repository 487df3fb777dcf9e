//! What `init` asks on a terminal: which provider, where it is, what opens it, and where messages go. From the answers it writes
//! settings that work, and the keys into files of their own.

use std::io::{self, BufRead, Write};

use crate::convention::Begin;
use crate::provider::Kind;

/// Hides what is typed, or shows it again.
pub type Hide<'a> = &'a mut dyn FnMut(bool) -> io::Result<()>;

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answers {
    pub settings: String,
    /// Of each file below `secrets`; empty: whoever was asked puts it there later.
    pub keys: Vec<(&'static str, String)>,
}

const SINKS: [&str; 2] = ["a webhook of your shop", "a queue that your scripts read: renewald queue pull"];

/// Somebody at a terminal.
pub struct Interview<'a> {
    pub input: &'a mut dyn BufRead,
    pub out: &'a mut dyn Write,
    pub hide: Hide<'a>,
}

impl Interview<'_> {
    /// Asks until each answer can be used. `database`: where it is to be; `None`: where the system has it.
    ///
    /// # Errors
    /// When the terminal is gone, also in the middle of it.
    pub fn hold(&mut self, database: Option<&str>) -> io::Result<Answers> {
        let kinds = beginnings();
        let names: Vec<_> = kinds.iter().map(|(_, begin)| begin.what).collect();
        let (kind, begin) = kinds[self.choose("Which provider renews the subscriptions?", &names)?];
        let mut provider = format!("[providers.main]\nkind = \"{}\"\n", kind.as_str());
        for (setting, what, usual) in begin.addresses {
            provider.push_str(&format!("{setting} = \"{}\"\n", self.url(what, *usual)?));
        }
        for (setting, what) in begin.words {
            provider.push_str(&format!("{setting} = \"{}\"\n", self.text(what, None)?));
        }
        let (setting, what) = begin.secret;
        let mut keys = vec![(setting, self.key(what)?)];
        provider.push_str(&format!("{setting}_file = \"{setting}\"\n"));
        if begin.has_territories {
            let territory = self.text("Territory (your name for the point of sale)", Some("eu"))?;
            keys.push(("territory_secret", self.key("Secret of the territory")?));
            provider
                .push_str(&format!("\n[providers.main.territories.{territory}]\nsecret_file = \"territory_secret\"\n"));
        }
        let sink = match self.choose("Where do messages go?", &SINKS)? {
            0 => {
                let url = self.url("Address of the webhook", None)?;
                format!(
                    "[sinks.shop]\nkind = \"webhook\"\nurl = \"{url}\"\n# signing_secret_file = \"shop-signing-secret\" signs what is sent\n"
                )
            }
            _ => "[sinks.shop]\nkind = \"queue\"\n".to_owned(),
        };
        let store = match database {
            Some(path) => format!("path = \"{path}\"\n"),
            None => "#path = \"/var/lib/renewald/renewald.db\"\n".to_owned(),
        };
        let settings = format!(
            "# Settings of renewald. Every other key with its default is in docs/settings.md; `renewald check` finds every mistake.\n\
             # Files of keys are looked up in secrets/ beside this file.\n\n\
             [store]\n# One SQLite file, on a local disk.\n{store}\n{provider}\n{sink}"
        );
        Ok(Answers { settings, keys })
    }

    fn choose(&mut self, question: &str, choices: &[&str]) -> io::Result<usize> {
        writeln!(self.out, "\n{question}")?;
        for (n, choice) in choices.iter().enumerate() {
            writeln!(self.out, "  {}  {choice}", n + 1)?;
        }
        loop {
            let answer = self.line("Number", Some("1"))?;
            match answer.parse::<usize>() {
                Ok(n) if (1..=choices.len()).contains(&n) => return Ok(n - 1),
                _ => writeln!(self.out, "a number from 1 to {}, please", choices.len())?,
            }
        }
    }

    fn url(&mut self, what: &str, usual: Option<&str>) -> io::Result<String> {
        loop {
            let answer = self.line(what, usual)?;
            match reqwest::Url::parse(&answer) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain(&answer) => {
                    return Ok(answer);
                }
                _ => writeln!(self.out, "an address such as https://api.example.com, please")?,
            }
        }
    }

    fn text(&mut self, what: &str, usual: Option<&str>) -> io::Result<String> {
        loop {
            let answer = self.line(what, usual)?;
            if is_plain(&answer) && !answer.contains(' ') {
                return Ok(answer);
            }
            writeln!(self.out, "one word, please")?;
        }
    }

    fn key(&mut self, what: &str) -> io::Result<String> {
        write!(self.out, "{what} (not shown; empty: later): ")?;
        self.out.flush()?;
        (self.hide)(true)?;
        let line = self.read_line();
        (self.hide)(false)?;
        writeln!(self.out)?;
        Ok(line?.trim().to_owned())
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.input.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }

    /// One that is not empty.
    fn line(&mut self, what: &str, usual: Option<&str>) -> io::Result<String> {
        loop {
            match usual {
                Some(usual) => write!(self.out, "{what} [{usual}]: ")?,
                None => write!(self.out, "{what}: ")?,
            }
            self.out.flush()?;
            match (self.read_line()?.trim(), usual) {
                ("", Some(usual)) => return Ok(usual.to_owned()),
                ("", None) => {}
                (given, _) => return Ok(given.to_owned()),
            }
        }
    }
}

/// Nothing that would end a text in the settings.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '[' | ']')) && !text.is_empty()
}

/// The kinds that one can begin with.
fn beginnings() -> Vec<(Kind, &'static Begin)> {
    Kind::ALL.iter().filter_map(|kind| Some((*kind, kind.convention().begin?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    /// With what was said, and how often the terminal was to hide what is typed.
    fn held(lines: &str) -> io::Result<(Answers, String)> {
        let (mut out, mut hidden) = (Vec::new(), Vec::new());
        let mut hide = |is_hidden| {
            hidden.push(is_hidden);
            Ok(())
        };
        let mut interview = Interview { input: &mut lines.as_bytes(), out: &mut out, hide: &mut hide };
        let answers = interview.hold(Some("renewald.db"))?;
        assert_eq!(hidden, [true, false].repeat(answers.keys.len()), "it is shown again");
        Ok((answers, String::from_utf8(out).unwrap()))
    }

    /// What is written loads, with the keys in their files.
    fn load(answers: &Answers) -> Settings {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("secrets")).unwrap();
        for (name, key) in &answers.keys {
            std::fs::write(dir.path().join("secrets").join(name), key).unwrap();
        }
        std::fs::write(dir.path().join("renewald.toml"), &answers.settings).unwrap();
        Settings::load(Some(&dir.path().join("renewald.toml"))).unwrap().settings
    }

    #[test]
    fn a_few_answers_make_settings_that_load() {
        let (answers, _) = held("\n\n\nmyrealm\ns1\n\ns2\n1\nhttps://shop.example/hook\n").unwrap();
        assert_eq!(answers.keys, [("client_secret", "s1".into()), ("territory_secret", "s2".into())]);
        let settings = load(&answers);
        assert_eq!(settings.providers["main"].territories(), ["eu"]);
        // What each kind has no usual address for is given one.
        for (n, (kind, begin)) in beginnings().into_iter().enumerate() {
            let addresses =
                begin.addresses.iter().map(|(.., usual)| if usual.is_some() { "" } else { "https://a.example" });
            let words = begin.words.iter().map(|_| "word");
            let territory = ["eu", "key"].into_iter().take(if begin.has_territories { 2 } else { 0 });
            let lines: Vec<_> = addresses.chain(words).chain(["key"]).chain(territory).chain(["2"]).collect();
            let (answers, _) = held(&format!("{}\n{}\n", n + 1, lines.join("\n"))).unwrap();
            assert_eq!(load(&answers).providers["main"].kind.kind(), kind);
        }
    }

    #[test]
    fn what_cannot_be_used_is_asked_for_again_and_an_end_is_one() {
        let lines = "9\nx\n4\nriver.example\nhttps://a\"b.example\nhttps://river.example\n\n2\n";
        let (answers, said) = held(lines).unwrap();
        assert!(answers.settings.contains("api_url = \"https://river.example\""), "{}", answers.settings);
        assert_eq!(said.matches("a number from 1 to 4, please").count(), 2, "{said}");
        assert_eq!(said.matches("an address such as").count(), 2, "{said}");
        assert_eq!(answers.keys, [("api_key", String::new())]);
        assert_eq!(held("1\n").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
