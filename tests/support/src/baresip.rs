//! baresip as a phone: its own configuration folder, a sine tone as microphone, a file as loudspeaker.

use std::fs;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Lines;

/// A running baresip that answers every call.
pub struct Baresip {
    child: Child,
    _folder: TempDir,
    /// What it prints.
    pub lines: Lines,
}

impl Baresip {
    /// Starts a phone for `user` of domain `localhost`, registered at `server` ("127.0.0.1:PORT").
    ///
    /// # Panics
    /// When it does not register, with what it printed.
    pub fn registered(user: &str, password: &str, server: &str, transport: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        let write = |name: &str, text: String| fs::write(path.join(name), text).expect("the folder is ours");
        write("config", config(path.join("heard.wav").to_str().expect("an UTF-8 path")));
        write(
            "accounts",
            format!(
                "<sip:{user}@localhost;transport={transport}>;auth_pass={password};answermode=auto;regint=600;\
                 outbound=\"sip:{server};transport={transport}\"\n"
            ),
        );
        write("contacts", String::new());
        let mut child = Command::new("stdbuf")
            .args(["-oL", "-eL", "baresip", "-4", "-f"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("baresip is installed (make test installs it)");
        let lines = Lines::of(&format!("baresip {user}"), child.stdout.take().expect("stdout is piped"));
        lines.wait_for("200 to REGISTER", |l| l.contains("200 OK"));
        Self { child, _folder: folder, lines }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// G.711, no sound hardware, signaling on loopback; for RTP baresip takes no loopback interface and chooses one itself.
/// It chooses its ports itself, for another process could take one that was found free. The sine tone comes at 48 kHz in stereo only.
fn config(loudspeaker: &str) -> String {
    format!(
        "poll_method epoll\nsip_listen 127.0.0.1:0\nsip_trans_bsize 128\ncall_local_timeout 120\n\
         audio_path /usr/share/baresip\naudio_source ausine,440\naudio_player aufile,{loudspeaker}\n\
         audio_alert aufile,/dev/null\naudio_level no\nausrc_srate 48000\nausrc_channels 2\nrtp_tos 184\n\
         rtcp_mux no\njitter_buffer_delay 5-10\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\n\
         module ausine.so\nmodule aufile.so\nmodule_tmp account.so\nmodule_app menu.so\n"
    )
}
