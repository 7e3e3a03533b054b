//! A real redis-server of the test's own, in a directory that vanishes, killed on drop.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A server that can be killed, stopped and started again.
pub struct Server {
    directory: TempDir,
    /// Where replicas find it.
    pub port: u16,
    settings: Vec<String>,
    sentinel: bool,
    child: Option<Child>,
}

impl Server {
    /// Starts a server that answers on a unix socket and on a port of loopback.
    pub async fn start(settings: &[&str]) -> Server {
        Server::start_as(None, settings).await
    }

    /// Starts a Sentinel with these lines of configuration.
    pub async fn start_sentinel(lines: &[&str]) -> Server {
        Server::start_as(Some(lines.join("\n")), &[]).await
    }

    async fn start_as(sentinel: Option<String>, settings: &[&str]) -> Server {
        // The operating system gives the port; should another process take it before the server does, the server
        // ends at once and another port is tried.
        for _ in 0..10 {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
            let port = listener.local_addr().expect("bound").port();
            drop(listener);
            let mut server = Server {
                directory: TempDir::with_prefix("store-redis-").expect("temporary directory"),
                port,
                settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
                sentinel: sentinel.is_some(),
                child: None,
            };
            if let Some(lines) = &sentinel {
                std::fs::write(server.directory.path().join("sentinel.conf"), lines).expect("configuration");
            }
            if server.launch().await {
                return server;
            }
        }
        panic!("redis-server does not start; is it installed?");
    }

    /// How a store reaches it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again after [`Server::kill`], with what it had on disk.
    pub async fn restart(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        assert!(self.launch().await, "redis-server does not start again");
    }

    /// Stops it from answering (SIGSTOP) without closing its connections.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Ends [`Server::freeze`].
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// A command, as an operator would give it.
    pub async fn command(&self, words: &[&str]) -> ::redis::RedisResult<::redis::Value> {
        let client = ::redis::Client::open(self.url()).expect("url");
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = ::redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await
    }

    async fn launch(&mut self) -> bool {
        let log = std::fs::File::create(self.directory.path().join("log")).expect("log file");
        let mut command = Command::new("redis-server");
        if self.sentinel {
            command.arg(self.directory.path().join("sentinel.conf")).arg("--sentinel");
        } else {
            command.args([
                "--save",
                "",
                "--repl-diskless-sync-delay",
                "0",
                "--repl-ping-replica-period",
                "1",
            ]);
        }
        let child = command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log file"))
            .stderr(log)
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        // Polled: the server tells that it serves in a log line alone, Sentinel not even there. Each try is a real connection.
        loop {
            if let Ok(Some(_)) = self.child.as_mut().expect("just started").try_wait() {
                return false;
            }
            if self.command(&["PING"]).await.is_ok() {
                return true;
            }
            tokio::task::yield_now().await;
        }
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("running");
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
