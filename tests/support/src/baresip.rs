//! baresip as a phone: its own configuration folder, and sound without hardware.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;

use crate::Lines;

/// A running baresip that answers every call.
pub struct Baresip {
    child: Child,
    keyboard: ChildStdin,
    _folder: TempDir,
    /// What it prints.
    pub lines: Lines,
}

impl Baresip {
    /// Starts a phone for `user` of domain `localhost`, registered at `server` ("127.0.0.1:PORT"), that plays a tone.
    ///
    /// # Panics
    /// When it does not register, with what it printed.
    pub fn registered(user: &str, password: &str, server: &str, transport: &str) -> Self {
        Self::sounding(user, password, server, transport, Sound::Tone)
    }

    /// The same with another sound.
    ///
    /// # Panics
    /// When it does not register, with what it printed.
    pub fn sounding(user: &str, password: &str, server: &str, transport: &str, sound: Sound) -> Self {
        Self::with(user, password, server, transport, sound, "")
    }

    /// The same over TLS with a tone, believing this authority.
    ///
    /// # Panics
    /// When it does not register, with what it printed.
    pub fn secured(user: &str, password: &str, server: &str, authority: &Path) -> Self {
        let further = format!("sip_cafile {}\n", authority.display());
        Self::with(user, password, server, "tls", Sound::Tone, &further)
    }

    fn with(user: &str, password: &str, server: &str, transport: &str, sound: Sound, further: &str) -> Self {
        let phone =
            Self::start(user, password, server, transport, config_of(sound, further), "regint=600", "");
        phone.lines.wait_for("200 to REGISTER", |l| l.contains("200 OK"));
        phone
    }

    /// A phone that does not register, publishes its presence and watches that of a contact of domain `localhost`.
    ///
    /// # Panics
    /// When it does not start, with what it printed.
    pub fn watching(user: &str, password: &str, server: &str, contact: &str) -> Self {
        let contacts = format!("\"{contact}\" <sip:{contact}@localhost>;presence=p2p\n");
        let modules = "module_app contact.so\nmodule_app presence.so\n";
        let config = config_of(Sound::Bridge, modules);
        let phone = Self::start(user, password, server, "udp", config, "regint=0;pubint=600", &contacts);
        phone.lines.wait_for("its start", |l| l.contains("baresip is ready"));
        phone
    }

    fn start(
        user: &str,
        password: &str,
        server: &str,
        transport: &str,
        config: impl FnOnce(&str) -> String,
        intervals: &str,
        contacts: &str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        let write = |name: &str, text: String| fs::write(path.join(name), text).expect("the folder is ours");
        let loudspeaker = path.join("heard.wav");
        write("config", config(loudspeaker.to_str().expect("an UTF-8 path")));
        write(
            "accounts",
            format!(
                "<sip:{user}@localhost;transport={transport}>;auth_pass={password};answermode=auto;{intervals};\
                 outbound=\"sip:{server};transport={transport}\"\n"
            ),
        );
        write("contacts", contacts.to_owned());
        let mut child = Command::new("stdbuf")
            .args(["-oL", "-eL", "baresip", "-4", "-f"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("baresip is installed (make test installs it)");
        let lines = Lines::of(&format!("baresip {user}"), child.stdout.take().expect("stdout is piped"));
        let keyboard = child.stdin.take().expect("stdin is piped");
        Self { child, keyboard, _folder: folder, lines }
    }

    /// Waits until it hears somebody; the port from which that one sends.
    ///
    /// # Panics
    /// When it hears nobody, with what it printed.
    pub fn hears(&self) -> u16 {
        let line = self.lines.wait_for("RTP", |l| l.contains("incoming rtp for 'audio' established"));
        let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
        port.unwrap_or_else(|| panic!("it does not say where that comes from: {line}"))
    }

    /// Types an order, such as `dial sip:bob@localhost`, `hold` or `hangup`.
    ///
    /// # Panics
    /// When it has ended.
    pub fn order(&mut self, order: &str) {
        writeln!(self.keyboard, "/{order}").and_then(|()| self.keyboard.flush()).expect("baresip runs");
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a phone has as microphone and loudspeaker, and which codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// A sine tone and a file, with G.711. The tone comes at 48 kHz in stereo only, and the phone is set so.
    Tone,
    /// The microphone hears the loudspeaker, with opus before G.711: the settings that baresip writes, but for the sound card.
    Bridge,
    /// The same with opus alone.
    Opus,
    /// The same with G.711 alone.
    G711,
    /// The tone at the rate that baresip chooses by itself, which the tone refuses: a sound card that cannot be opened.
    Broken,
}

impl Sound {
    fn settings(self, loudspeaker: &str) -> String {
        let tone = format!(
            "audio_source ausine,440\naudio_player aufile,{loudspeaker}\naudio_alert aufile,/dev/null\n\
             module g711.so\nmodule ausine.so\nmodule aufile.so\n"
        );
        let bridge = |codecs: &str| {
            format!(
                "audio_source aubridge,card\naudio_player aubridge,card\naudio_alert aubridge,card\n\
                 {codecs}module aubridge.so\n"
            )
        };
        match self {
            Self::Tone => format!("ausrc_srate 48000\nausrc_channels 2\n{tone}"),
            Self::Broken => tone,
            Self::Bridge => bridge("module opus.so\nmodule g711.so\n"),
            Self::Opus => bridge("module opus.so\n"),
            Self::G711 => bridge("module g711.so\n"),
        }
    }
}

fn config_of(sound: Sound, further: &str) -> impl FnOnce(&str) -> String {
    move |loudspeaker| config(sound, loudspeaker) + further
}

/// Signaling on loopback; for RTP baresip takes no loopback interface and chooses one itself. It chooses its ports itself, for
/// another process could take one that was found free.
fn config(sound: Sound, loudspeaker: &str) -> String {
    format!(
        "poll_method epoll\nsip_listen 127.0.0.1:0\nsip_trans_bsize 128\ncall_local_timeout 120\n\
         audio_path /usr/share/baresip\naudio_level no\nrtp_tos 184\nrtcp_mux no\njitter_buffer_delay 5-10\n\
         module_path /usr/lib/baresip/modules\n{}module stdio.so\nmodule_tmp account.so\nmodule_app menu.so\n",
        sound.settings(loudspeaker)
    )
}
