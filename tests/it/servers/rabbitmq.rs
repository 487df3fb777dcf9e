//! A private RabbitMQ, one for all tests of the process, and its management API, through which tests set it up and read
//! what arrived.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

use super::authority::Authority;
use super::{Restart, Server, directory_of_all, find, free_port};

/// More than this is refused by the server: `max_message_size`.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// The server of all tests; starting one takes seconds.
static SHARED: OnceLock<Option<RwLock<RabbitMq>>> = OnceLock::new();

/// For tests that leave others alone. `None` where it is not installed.
pub fn shared() -> Option<RwLockReadGuard<'static, RabbitMq>> {
    let lock = SHARED.get_or_init(|| RabbitMq::new().map(RwLock::new)).as_ref()?;
    Some(lock.read().unwrap_or_else(PoisonError::into_inner))
}

/// For tests that stop or block it: nobody else uses it meanwhile.
pub fn alone() -> Option<RwLockWriteGuard<'static, RabbitMq>> {
    drop(shared()?);
    let lock = SHARED.get()?.as_ref()?;
    Some(lock.write().unwrap_or_else(PoisonError::into_inner))
}

/// A server with the account guest/guest; `stop` and `start` keep its ports and its durable queues.
pub struct RabbitMq {
    program: PathBuf,
    dir: PathBuf,
    authority: Authority,
    ports: Ports,
    /// Erlang's port mapper, a private one too.
    _mapper: Server,
    server: Option<Server>,
}

#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    amqps: u16,
    management: u16,
    distribution: u16,
    mapper: u16,
}

impl RabbitMq {
    fn new() -> Option<Self> {
        let (program, mapper) = (find("rabbitmq-server", "rabbitmq-server")?, find("epmd", "rabbitmq-server")?);
        let dir = directory_of_all();
        let authority = Authority::create(&dir)?;
        let [amqp, amqps, management, distribution, port] = [(); 5].map(|()| free_port());
        let ports = Ports { amqp, amqps, management, distribution, mapper: port };
        let mapper_port = port.to_string();
        let arguments = ["-port", &mapper_port, "-address", "127.0.0.1"];
        let mapper = Server::start(&mapper, &arguments, &[], &dir.join("mapper.log"));
        mapper.wait_for_port(port);
        let mut this = Self { program, dir, authority, ports, _mapper: mapper, server: None };
        this.configure();
        this.start();
        Some(this)
    }

    fn configure(&self) {
        let Ports { amqp, amqps, management, .. } = self.ports;
        let pem = |name: &str| self.authority.file(name);
        let (authority, certificate, key) = (pem("authority.pem"), pem("server.pem"), pem("server.key"));
        let text = format!(
            "listeners.tcp.local = 127.0.0.1:{amqp}\nlisteners.ssl.local = 127.0.0.1:{amqps}\n\
             management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
             ssl_options.cacertfile = {authority}\nssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n\
             max_message_size = {MESSAGE_BYTES}\ndisk_free_limit.absolute = 1MB\n"
        );
        self.write("rabbitmq.conf", &text);
        self.write("plugins", "[rabbitmq_management].\n");
        self.write("empty", "");
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).expect("a file is written");
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let number = |port: u16| port.to_string();
        vec![
            ("HOME", self.file("")), // the Erlang cookie is made there
            ("ERL_EPMD_PORT", number(self.ports.mapper)),
            ("RABBITMQ_CONF_ENV_FILE", self.file("empty")),
            ("RABBITMQ_NODENAME", format!("renewald-{}@localhost", std::process::id())),
            ("RABBITMQ_DIST_PORT", number(self.ports.distribution)),
            ("RABBITMQ_CONFIG_FILE", self.file("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", self.file("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", self.file("plugins")),
            ("RABBITMQ_MNESIA_BASE", self.file("data")),
            ("RABBITMQ_LOG_BASE", self.file("logs")),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_PID_FILE", self.file("pid")),
        ]
    }

    /// Runs `rabbitmqctl`.
    pub fn control(&self, arguments: &[&str]) {
        let program = find("rabbitmqctl", "rabbitmq-server").expect("it comes with the server");
        let done = Command::new(program).args(arguments).envs(self.environment()).output().expect("it starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}", self.ports.amqp)
    }

    /// Where a certificate is asked for.
    pub fn tls_url(&self) -> String {
        format!("amqps://127.0.0.1:{}", self.ports.amqps)
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A virtual host of a test's own, where guest may do anything.
    pub fn vhost(&self, name: &str) -> Vhost<'_> {
        let vhost = Vhost { server: self, name: name.to_owned() };
        self.expect("PUT", &format!("vhosts/{name}"), &json!({}));
        vhost.permit("guest", ".*");
        vhost
    }

    pub fn user(&self, name: &str, password: &str) {
        // Two tests may make the same user at the same time: the server then refuses one of them.
        let made = self.call("PUT", &format!("users/{name}"), &json!({"password": password, "tags": ""}));
        if let Err(error) = made.map(drop)
            && !error.contains("user_already_exists")
        {
            panic!("PUT users/{name}: {error}");
        }
    }

    /// The names that clients gave their connections.
    pub fn connection_names(&self) -> Vec<String> {
        let connections = self.expect("GET", "connections", &Value::Null);
        let connections = connections.as_array().into_iter().flatten();
        connections.filter_map(|one| one["client_properties"]["connection_name"].as_str().map(str::to_owned)).collect()
    }

    fn expect(&self, method: &str, path: &str, body: &Value) -> Value {
        self.call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}/api/{path}", self.ports.management);
        let asking = async {
            let client = renewald::tls::client_builder(None, Some("")).expect("a client").build().expect("a client");
            let request = client.request(method.parse().expect("a method"), url).basic_auth("guest", Some("guest"));
            let answer = request.body(body.to_string()).send().await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let text = answer.text().await.map_err(|error| error.to_string())?;
            if !status.is_success() {
                return Err(format!("{status}: {text}"));
            }
            Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(asking)
    }
}

impl Restart for RabbitMq {
    fn start(&mut self) {
        let environment = self.environment();
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = Server::start(&self.program, &[], &environment, &self.dir.join("log"));
        server.wait_for_port(self.ports.amqp);
        server.wait_for_port(self.ports.amqps);
        server.wait_for_port(self.ports.management);
        server.wait_until("its API answers", || self.call("GET", "overview", &Value::Null).is_ok());
        self.server = Some(server);
    }

    fn stop(&mut self) {
        self.server = None;
    }
}

/// One test's part of the server.
pub struct Vhost<'a> {
    server: &'a RabbitMq,
    name: String,
}

impl Vhost<'_> {
    /// A durable topic exchange, a durable queue, and everything from one to the other.
    pub fn exchange_with_queue(&self, exchange: &str, queue: &str) {
        self.exchange(exchange);
        self.queue(queue, &json!({}));
        self.bind(exchange, queue, "#");
    }

    pub fn exchange(&self, name: &str) {
        self.put("exchanges", name, &json!({"type": "topic", "durable": true}));
    }

    pub fn queue(&self, name: &str, arguments: &Value) {
        self.put("queues", name, &json!({"durable": true, "arguments": arguments}));
    }

    /// One of its `exchanges` or `queues`, with its bindings.
    #[allow(dead_code, reason = "tests/faults removes none")]
    pub fn remove(&self, what: &str, name: &str) {
        self.server.expect("DELETE", &format!("{what}/{}/{name}", self.name), &Value::Null);
    }

    pub fn bind(&self, exchange: &str, queue: &str, key: &str) {
        let path = format!("bindings/{}/e/{exchange}/q/{queue}", self.name);
        self.server.expect("POST", &path, &json!({"routing_key": key}));
    }

    /// What a user may configure, write and read: names that match.
    pub fn permit(&self, user: &str, pattern: &str) {
        let permission = json!({"configure": pattern, "write": pattern, "read": pattern});
        self.server.expect("PUT", &format!("permissions/{}/{user}", self.name), &permission);
    }

    /// The same without the right to write or to configure.
    pub fn permit_to_read(&self, user: &str, pattern: &str) {
        let permission = json!({"configure": "^$", "write": "^$", "read": pattern});
        self.server.expect("PUT", &format!("permissions/{}/{user}", self.name), &permission);
    }

    fn put(&self, what: &str, name: &str, body: &Value) {
        self.server.expect("PUT", &format!("{what}/{}/{name}", self.name), body);
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn bindings_of(&self, queue: &str) -> Value {
        self.server.expect("GET", &format!("queues/{}/{queue}/bindings", self.name), &Value::Null)
    }

    /// Takes everything out of a queue.
    pub fn messages(&self, queue: &str) -> Vec<Taken> {
        let request = json!({"count": 100_000, "ackmode": "ack_requeue_false", "encoding": "auto"});
        let taken = self.server.expect("POST", &format!("queues/{}/{queue}/get", self.name), &request);
        taken.as_array().into_iter().flatten().cloned().map(Taken).collect()
    }
}

/// A message as the management API shows it: `payload`, `routing_key`, `properties`.
#[derive(Debug)]
pub struct Taken(pub Value);

impl Taken {
    pub fn json(&self) -> Value {
        serde_json::from_str(self.0["payload"].as_str().expect("text")).expect("the body is JSON")
    }

    pub fn property(&self, name: &str) -> &Value {
        &self.0["properties"][name]
    }
}
