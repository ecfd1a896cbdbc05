//! A real browser without a window: Chromium, told what to do by the DevTools protocol over a pipe.
//!
//! It ends with the value that stands for it, also in a test that fails, and asks no network.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Json>,
    calls: u64,
    session: Option<String>,
    events: Vec<Json>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it. Where it is not installed only the CI fails; elsewhere there is nothing.
    pub(crate) fn start() -> Option<Self> {
        let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let is_there = Command::new(&program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !is_there.is_ok_and(|status| status.success()) {
            let missing = "Chromium is missing: apt-get install chromium, or set CHROMIUM";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
            eprintln!("skipped: {missing}");
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        // The protocol is spoken over the descriptors 3 and 4. The sandbox refuses to run as root.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "sh", &program])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .args([
                "--hide-scrollbars",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
            ])
            .args(["--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"])
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .env("HOME", profile.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (heard, from) = channel();
        thread::spawn(move || {
            let messages = BufReader::new(out).split(0).map_while(Result::ok);
            for message in messages.filter_map(|text| serde_json::from_slice(&text).ok()) {
                if heard.send(message).is_err() {
                    return;
                }
            }
        });
        let (calls, session, events) = (0, None, Vec::new());
        let mut browser = Self { child, to, from, calls, session, events, _profile: profile };
        let page = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Opens a file and waits until it is there, whole.
    pub(crate) fn open(&mut self, file: &Path) {
        self.events.clear();
        let url = format!("file://{}", file.display());
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert_eq!(answer["errorText"], Json::Null, "{url}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            self.hear(&format!("{url} is loaded"));
        }
    }

    /// Gives the window a size, and the page a medium (`screen`, `print`) and a scheme (`light`, `dark`).
    pub(crate) fn look(&mut self, width: u32, media: &str, scheme: &str) {
        let size = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500
        });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "media": media, "features": features }));
    }

    /// What an expression of the page comes to.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Json {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &asked);
        assert_eq!(answer["exceptionDetails"], Json::Null, "{expression}");
        answer["result"]["value"].clone()
    }

    /// The page as a PDF, in base64.
    pub(crate) fn print(&mut self) -> String {
        let answer = self.call("Page.printToPDF", &json!({ "printBackground": true }));
        answer["data"].as_str().unwrap().to_owned()
    }

    /// What was written to the console, thrown or logged since the page was opened.
    pub(crate) fn complaints(&self) -> Vec<&Json> {
        let kinds = ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"];
        let is_one = |event: &&Json| kinds.iter().any(|kind| event["method"] == *kind);
        self.events.iter().filter(is_one).collect()
    }

    /// What was asked for since then.
    pub(crate) fn requests(&self) -> Vec<&str> {
        let asked =
            self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        asked.filter_map(|event| event["params"]["request"]["url"].as_str()).collect()
    }

    fn call(&mut self, method: &str, params: &Json) -> Json {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let heard = self.hear(method);
            if heard["id"] == self.calls {
                assert_eq!(heard["error"], Json::Null, "{method}");
                return heard["result"].clone();
            }
        }
    }

    fn hear(&mut self, awaited: &str) -> Json {
        let heard = self.from.recv_timeout(ANSWER_MAX);
        let message = heard.unwrap_or_else(|why| panic!("Chromium, {awaited}: {why}"));
        self.events.push(message.clone());
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A busy machine may take long to start a browser.
const ANSWER_MAX: Duration = Duration::from_secs(120);
