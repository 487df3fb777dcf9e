//! Names that may be left out where the settings know only one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Provider, Settings, SinkKind};
use crate::convention::{Advice, Convention};
use crate::text::visible;

impl Settings {
    /// A provider and one of its territories.
    pub fn place(&self, provider: Option<&str>, territory: Option<&str>) -> Result<(String, String), String> {
        let (provider_name, provider): (_, &Provider) = pick("provider", provider, &self.providers)?;
        let (territory, ()) = pick("territory", territory, &names(provider.territories()))?;
        Ok((provider_name, territory))
    }

    /// The provider that is meant: the named one, or the only one.
    pub fn provider_meant(&self, provider: Option<&str>) -> Result<String, String> {
        let (name, _): (_, &Provider) = pick("provider", provider, &self.providers)?;
        Ok(name)
    }

    /// How a provider of these settings names things.
    ///
    /// # Panics
    /// Where they have no such provider: [`Settings::place`] gives the names that they have.
    pub fn convention(&self, provider: &str) -> &'static Convention {
        self.providers[provider].kind.convention()
    }

    /// How the provider that is meant names things, where it can be told which: by its name, or as the only one.
    pub fn convention_meant(&self, provider: Option<&str>) -> Option<&'static Convention> {
        let (_, provider): (_, &Provider) = pick("provider", provider, &self.providers).ok()?;
        Some(provider.kind.convention())
    }

    /// What to look at where this provider refuses something; `None` where the settings do not have it any more.
    pub fn advice(&self, provider: &str) -> Option<&'static Advice> {
        self.providers.get(provider).map(|provider| &provider.kind.convention().advice)
    }

    /// Whether this provider may be gone for good.
    pub fn may_have_closed(&self, provider: &str) -> bool {
        self.providers.get(provider).is_some_and(|provider| provider.kind.convention().may_have_closed)
    }

    /// How they name things, as far as these settings know providers.
    pub fn conventions(&self) -> impl Iterator<Item = &'static Convention> {
        self.providers.values().map(|provider| provider.kind.convention())
    }

    /// Where something can be asked: provider and territory.
    pub fn territories(&self) -> BTreeSet<(String, String)> {
        let of = |(name, provider): (&String, &Provider)| {
            provider.territories().into_iter().map(|one| (name.clone(), one.to_owned())).collect::<Vec<_>>()
        };
        self.providers.iter().flat_map(of).collect()
    }

    /// Whether there is such a provider, and such a territory of it, or of any where none is named.
    pub fn knows(&self, provider: Option<&str>, territory: Option<&str>) -> Result<(), String> {
        let of = |name: &str| pick("provider", Some(name), &self.providers);
        let territories = match provider {
            Some(name) => names(of(name)?.1.territories()),
            None => names(self.providers.values().flat_map(Provider::territories)),
        };
        territory.map_or(Ok(()), |name| pick("territory", Some(name), &territories).map(drop))
    }

    /// The sink of kind `queue` that is meant: the named one, or the only one.
    pub fn queue(&self, named: Option<&str>) -> Result<String, String> {
        let is_queue = |kind: &SinkKind| matches!(kind, SinkKind::Queue);
        let queues: Vec<&str> =
            self.sinks.iter().filter(|(_, sink)| is_queue(&sink.kind)).map(|(name, _)| name.as_str()).collect();
        match (named, queues.as_slice()) {
            (Some(name), _) => match self.sinks.get(name) {
                Some(sink) if is_queue(&sink.kind) => Ok(name.to_owned()),
                Some(_) => Err(format!(
                    "sink {name} is not of kind \"queue\": its messages are sent to it, nobody takes them; {}",
                    existing(&queues)
                )),
                None => Err(format!("the settings have no sink {:?}; {}", visible(name), existing(&queues))),
            },
            (None, [only]) => Ok((*only).to_owned()),
            (None, []) => Err(existing(&queues)),
            (None, _) => Err(format!("name one of several sinks: {}", existing(&queues))),
        }
    }
}

fn existing(queues: &[&str]) -> String {
    if queues.is_empty() {
        "the settings have no sink of kind \"queue\"".to_owned()
    } else {
        format!("sinks of kind \"queue\": {}", queues.join(", "))
    }
}

fn names<'a>(known: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, ()> {
    known.into_iter().map(|name| (name.to_owned(), ())).collect()
}

fn pick<'a, T>(what: &str, name: Option<&str>, known: &'a BTreeMap<String, T>) -> Result<(String, &'a T), String> {
    let list = || known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => match known.get_key_value(name) {
            Some((name, value)) => Ok((name.clone(), value)),
            None => Err(format!("{what} \"{}\" is not in the settings, which know: {}", visible(name), list())),
        },
        None => match known.first_key_value() {
            Some((name, value)) if known.len() == 1 => Ok((name.clone(), value)),
            _ => Err(format!("no {what} is given, and the settings know several: {}", list())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_one_may_be_left_out() {
        assert_eq!(pick("territory", None, &names(["eu"])), Ok(("eu".to_owned(), &())));
        let error = pick("territory", None, &names(["eu", "us"])).unwrap_err();
        assert_eq!(error, "no territory is given, and the settings know several: eu, us");
    }

    #[test]
    fn an_unknown_one_is_told_the_known() {
        let error = pick("provider", Some("nexwya"), &names(["nexway"])).unwrap_err();
        assert_eq!(error, "provider \"nexwya\" is not in the settings, which know: nexway");
    }
}
