//! `audio/tone-info+xml`: a tone described, so that the phone itself plays the ringback (tones draft 3.2, 4; TPC-13).

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// The content type of a tone description.
pub const CONTENT_TYPE: &str = "audio/tone-info+xml";
/// The disposition under which Carillon sends it: a phone that does not know it goes on without.
pub const DISPOSITION: &str = "render;handling=optional";

const MAX_OCTETS: usize = 16 * 1024;
const MAX_TONES: usize = 64;

/// A sequence of tones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tones {
    /// Whether it starts again at its end.
    pub is_repeated: bool,
    /// The tones in order.
    pub tones: Vec<Tone>,
}

/// One tone, or a pause (frequency 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tone {
    /// Frequency of the modulation in hertz, 0 for none.
    pub modulation_hz: Option<u32>,
    /// Volume in dBm0.
    pub volume_db: i32,
    /// Length in milliseconds.
    pub duration_ms: u32,
    /// One to five frequencies in hertz, sounded together.
    pub frequencies_hz: Vec<u32>,
    /// Decay, as received.
    pub decay: Option<String>,
}

/// Why a tone description was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToneError {
    /// The document is larger, or holds more tones, than accepted.
    #[error("tone description over the limit of {0}")]
    TooLarge(usize),
    /// It is not well-formed XML, or has a document type declaration.
    #[error("not plain XML: {0}")]
    Xml(String),
    /// An element is not where the schema has it.
    #[error("unexpected element {0:?}")]
    Element(String),
    /// An attribute is missing or out of range.
    #[error("{element} needs {attribute}")]
    Attribute {
        /// The element.
        element: &'static str,
        /// The attribute with its type.
        attribute: &'static str,
    },
    /// A tone has no volume, no duration, or not one to five frequencies.
    #[error("a tone needs a volume, a duration and one to five frequencies")]
    Incomplete,
}

/// How often a tone that is on pulses, what sounds, and for how long by turns it sounds and is silent (ITU-T E.180).
type Cadence = (u32, &'static [u32], &'static [u32]);

impl Tones {
    /// The ringback of North America: 440 and 480 Hz, two seconds on, four seconds off.
    pub fn us_ringback() -> Self {
        Self::cadence((0, &[440, 480], &[2_000, 4_000]))
    }

    /// The ringback of a country: "us", "eu" (most of Europe), "uk", "fr" or "jp".
    pub fn ringback(country: &str) -> Option<Self> {
        Some(match country {
            "us" => Self::us_ringback(),
            "eu" => Self::cadence((0, &[425], &[1_000, 4_000])),
            "uk" => Self::cadence((0, &[400, 450], &[400, 200, 400, 2_000])),
            "fr" => Self::cadence((0, &[440], &[1_500, 3_500])),
            "jp" => Self::cadence((16, &[400], &[1_000, 2_000])),
            _ => return None,
        })
    }

    fn cadence((hz, sounds, spans): Cadence) -> Self {
        let tone = |(index, &duration_ms): (usize, &u32)| {
            let is_on = index % 2 == 0;
            let (modulation_hz, volume_db, frequencies_hz) =
                if is_on { (hz, -3, sounds.to_vec()) } else { (0, -63, vec![0]) };
            Tone { modulation_hz: Some(modulation_hz), volume_db, duration_ms, frequencies_hz, decay: None }
        };
        Self { is_repeated: true, tones: spans.iter().enumerate().map(tone).collect() }
    }

    /// The document.
    pub fn to_xml(&self) -> String {
        use std::fmt::Write as _;

        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n");
        let _ = write!(xml, "<tones repeat=\"{}\">\r\n", self.is_repeated);
        for tone in &self.tones {
            xml.push_str(" <tone>");
            if let Some(hz) = tone.modulation_hz {
                let _ = write!(xml, "<modulation hz=\"{hz}\"/>");
            }
            let _ = write!(xml, "<volume db=\"{}\"/><duration ms=\"{}\"/>", tone.volume_db, tone.duration_ms);
            for hz in &tone.frequencies_hz {
                let _ = write!(xml, "<frequency hz=\"{hz}\"/>");
            }
            if let Some(decay) = &tone.decay {
                let _ = write!(xml, "<decay>{}</decay>", quick_xml::escape::escape(decay.as_str()));
            }
            xml.push_str("</tone>\r\n");
        }
        xml.push_str("</tones>\r\n");
        xml
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`ToneError`] says what is missing or not plain.
    pub fn parse(xml: &[u8]) -> Result<Self, ToneError> {
        if xml.len() > MAX_OCTETS {
            return Err(ToneError::TooLarge(MAX_OCTETS));
        }
        let mut reader = Reader::from_reader(xml);
        reader.config_mut().expand_empty_elements = true;
        let mut read = Self { is_repeated: false, tones: Vec::new() };
        let mut path: Vec<String> = Vec::new();
        let mut tone = Draft::default();
        loop {
            match reader.read_event().map_err(|error| ToneError::Xml(error.to_string()))? {
                Event::Start(element) => {
                    let name = element.local_name().as_ref().to_owned();
                    match (path.len(), path.last().map(String::as_str), name.as_str()) {
                        (0, None, "tones") => {
                            read.is_repeated = attribute(&element, "repeat").as_deref() == Some("true");
                        }
                        (1, Some("tones"), "tone") => tone = Draft::default(),
                        (2, Some("tone"), _) => tone.read(&name, &element)?,
                        _ => return Err(ToneError::Element(name)),
                    }
                    path.push(name);
                }
                Event::End(_) => {
                    path.pop();
                    if path.len() == 1 {
                        if read.tones.len() == MAX_TONES {
                            return Err(ToneError::TooLarge(MAX_TONES));
                        }
                        read.tones.push(std::mem::take(&mut tone).finish()?);
                    }
                }
                Event::Text(text) if path.last().is_some_and(|name| name == "decay") => {
                    tone.decay.get_or_insert_default().push_str(&text);
                }
                Event::DocType(_) => return Err(ToneError::Xml("document type declaration".to_owned())),
                Event::Eof if path.is_empty() && !read.tones.is_empty() => return Ok(read),
                Event::Eof => return Err(ToneError::Incomplete),
                _ => {}
            }
        }
    }
}

#[derive(Default)]
struct Draft {
    modulation_hz: Option<u32>,
    volume_db: Option<i32>,
    duration_ms: Option<u32>,
    frequencies_hz: Vec<u32>,
    decay: Option<String>,
}

impl Draft {
    fn read(&mut self, name: &str, element: &BytesStart<'_>) -> Result<(), ToneError> {
        match name {
            "modulation" => self.modulation_hz = Some(number(element, "modulation", "hz")?),
            "volume" => self.volume_db = Some(number(element, "volume", "db")?),
            "duration" => self.duration_ms = Some(number(element, "duration", "ms")?),
            "frequency" => self.frequencies_hz.push(number(element, "frequency", "hz")?),
            "decay" => self.decay = Some(String::new()),
            _ => return Err(ToneError::Element(name.to_owned())),
        }
        Ok(())
    }

    fn finish(self) -> Result<Tone, ToneError> {
        let (Some(volume_db), Some(duration_ms)) = (self.volume_db, self.duration_ms) else {
            return Err(ToneError::Incomplete);
        };
        if !(1..=5).contains(&self.frequencies_hz.len()) {
            return Err(ToneError::Incomplete);
        }
        Ok(Tone {
            modulation_hz: self.modulation_hz,
            volume_db,
            duration_ms,
            frequencies_hz: self.frequencies_hz,
            decay: self.decay,
        })
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.try_get_attribute(name).ok()??;
    Some(found.value.into_owned())
}

fn number<T: std::str::FromStr>(
    element: &BytesStart<'_>,
    name: &'static str,
    unit: &'static str,
) -> Result<T, ToneError> {
    attribute(element, unit)
        .and_then(|value| value.trim().parse().ok())
        .ok_or(ToneError::Attribute { element: name, attribute: unit })
}

#[cfg(test)]
mod tests;
