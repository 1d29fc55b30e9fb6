//! From a container as the engine describes it to the request that makes another like it.
//!
//! Works on the engine's own JSON: a field that no type here knows is kept like any other. What a container only has from
//! its image is left out where the image changes, so that the new one gives its own. Deliberately not here: asking the
//! engine for anything.

use std::collections::BTreeMap;

use sandbook_core::effect::docker::{MountKind, NewMount, RecreateOptions, Resources};
use sandbook_core::error::Error;
use sandbook_core::target::LABEL_NUMBER;
use serde_json::{Map, Value, json};

/// Billionths of a core in one.
const NANO: f64 = 1e9;
/// Digits of an id that Docker uses as host name and alias.
const SHORT_ID: usize = 12;

/// A container to be made: the request, and the networks it is connected to afterwards.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::driver::docker) struct Plan {
    /// Of `POST /containers/create`.
    pub(in crate::driver::docker) body: Value,
    /// Name and endpoint of each further network: older engines take only one in the request.
    pub(in crate::driver::docker) networks: Vec<(String, Value)>,
}

/// What a recreation needs to know besides the container and what is asked for.
#[derive(Debug, Clone, Default)]
pub(in crate::driver::docker) struct Known {
    /// The configuration of its image; absent where that is gone.
    pub(in crate::driver::docker) image: Option<Value>,
    /// The image to make it from.
    pub(in crate::driver::docker) from: String,
    /// Whether that is another one.
    pub(in crate::driver::docker) other_image: bool,
    /// Id of the container whose network it shares from now on.
    pub(in crate::driver::docker) network_of: Option<String>,
}

/// The same container again, but for what is asked for. Errors: `invalid`, `conflict`.
pub(in crate::driver::docker) fn successor(
    old: &Value,
    known: &Known,
    options: &RecreateOptions,
) -> Result<Plan, Error> {
    let (mut config, mut host) = basis(old);
    if known.other_image {
        inherit(&mut config, known.image.as_ref().unwrap_or(&Value::Null));
    }
    config.insert("Image".to_owned(), json!(known.from));
    keep_volumes(&mut host, old);
    change_environment(&mut config, options);
    if let Some(command) = &options.command {
        config.insert("Cmd".to_owned(), json!(command));
    }
    let labels = object(&mut config, "Labels");
    labels.extend(options.labels.iter().flatten().map(|(key, value)| (key.clone(), json!(value))));
    for label in options.remove_labels.iter().flatten() {
        labels.remove(label);
    }
    for mount in options.mounts.iter().flatten() {
        put_mount(&mut config, &mut host, mount);
    }
    if let Some(limits) = &options.limits {
        put_limits(&mut host, limits);
    }
    if let Some(other) = &known.network_of {
        if !network_mode(&host).starts_with("container:") {
            return Err(Error::invalid("network_of is for a container that shares another's network already"));
        }
        host.insert("NetworkMode".to_owned(), json!(format!("container:{other}")));
    }
    Ok(assemble(config, host, endpoints(old)))
}

/// One more replica of a service. Errors: `conflict` for what two containers cannot both have.
pub(in crate::driver::docker) fn replica(model: &Value, number: u32) -> Result<Plan, Error> {
    let (mut config, host) = basis(model);
    let ports = host.get("PortBindings").and_then(Value::as_object).into_iter().flatten();
    let fixed = |bindings: &Value| {
        let port = |binding: &Value| {
            binding["HostPort"].as_str().is_some_and(|port| !port.is_empty() && port != "0" && !port.contains('-'))
        };
        bindings.as_array().is_some_and(|all| all.iter().any(port))
    };
    if let Some((port, _)) = ports.into_iter().find(|(_, bindings)| fixed(bindings)) {
        return Err(Error::conflict(format!(
            "it publishes {port} on a fixed port of the host, which only one container can have"
        )));
    }
    let endpoints = endpoints(model);
    if let Some((network, _)) = endpoints.iter().find(|(_, endpoint)| endpoint["IPAMConfig"]["IPv4Address"].is_string())
    {
        return Err(Error::conflict(format!(
            "it has a fixed address on network {network}, which only one container can have"
        )));
    }
    object(&mut config, "Labels").insert(LABEL_NUMBER.to_owned(), json!(number.to_string()));
    // Its own name among its aliases belongs to the model alone.
    let name = model["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
    let mut endpoints = endpoints;
    for endpoint in endpoints.values_mut() {
        if let Some(aliases) = endpoint["Aliases"].as_array_mut() {
            aliases.retain(|alias| alias.as_str() != Some(&name));
        }
    }
    Ok(assemble(config, host, endpoints))
}

/// Its configuration without what belongs to the instance.
fn basis(old: &Value) -> (Map<String, Value>, Map<String, Value>) {
    let mut config = old["Config"].as_object().cloned().unwrap_or_default();
    let mut host = old["HostConfig"].as_object().cloned().unwrap_or_default();
    let mode = network_mode(&host);
    let own = old["Id"].as_str().unwrap_or_default();
    let hostname = config.get("Hostname").and_then(Value::as_str).unwrap_or_default();
    // A name made from the id, or one that another gives it.
    if mode.starts_with("container:") || mode == "host" || own.starts_with(hostname) {
        config.remove("Hostname");
    }
    if mode.starts_with("container:") {
        for key in ["ExposedPorts", "MacAddress", "Domainname"] {
            config.remove(key);
        }
        host.remove("PortBindings");
    }
    // `/db:/web/alias` as it is told, `db:alias` as it is asked for.
    if let Some(links) = host.get_mut("Links").and_then(Value::as_array_mut) {
        for link in links {
            let written = link.as_str().unwrap_or_default();
            let (from, to) = written.split_once(':').unwrap_or((written, written));
            let alias = to.rsplit('/').next().unwrap_or(to);
            *link = json!(format!("{}:{alias}", from.trim_start_matches('/')));
        }
    }
    (config, host)
}

fn network_mode(host: &Map<String, Value>) -> String {
    host.get("NetworkMode").and_then(Value::as_str).unwrap_or("default").to_owned()
}

fn object<'a>(of: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = of.entry(key.to_owned()).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("it was made an object just now"),
    }
}

fn list<'a>(of: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let value = of.entry(key.to_owned()).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(list) => list,
        _ => unreachable!("it was made a list just now"),
    }
}

/// Drops what the container only has from its image.
fn inherit(config: &mut Map<String, Value>, image: &Value) {
    for key in ["Cmd", "Entrypoint", "WorkingDir", "User", "StopSignal", "Healthcheck", "Shell", "OnBuild"] {
        if config.get(key).is_some_and(|own| *own == image[key]) {
            config.remove(key);
        }
    }
    for key in ["Labels", "ExposedPorts", "Volumes"] {
        let (Some(own), Some(given)) = (config.get_mut(key).and_then(Value::as_object_mut), image[key].as_object())
        else {
            continue;
        };
        own.retain(|name, value| given.get(name) != Some(value));
    }
    if let (Some(own), Some(given)) = (config.get_mut("Env").and_then(Value::as_array_mut), image["Env"].as_array()) {
        own.retain(|variable| !given.contains(variable));
    }
}

/// Volumes without a name of their own are named by the one they are, so that the new container has the same.
fn keep_volumes(host: &mut Map<String, Value>, old: &Value) {
    let destination = |bind: &Value| {
        let text = bind.as_str().unwrap_or_default();
        text.split(':').nth(1).unwrap_or_default().to_owned()
    };
    for mount in old["Mounts"].as_array().into_iter().flatten().filter(|mount| mount["Type"] == "volume") {
        let (Some(name), Some(to)) = (mount["Name"].as_str(), mount["Destination"].as_str()) else { continue };
        let declared = list(host, "Mounts").iter_mut().find(|one| one["Target"] == to);
        if let Some(declared) = declared {
            if declared["Source"].as_str().unwrap_or_default().is_empty() {
                declared["Source"] = json!(name);
            }
            continue;
        }
        let binds = list(host, "Binds");
        if !binds.iter().any(|bind| destination(bind) == to) {
            let mode = if mount["RW"] == false { ":ro" } else { "" };
            binds.push(json!(format!("{name}:{to}{mode}")));
        }
    }
}

fn change_environment(config: &mut Map<String, Value>, options: &RecreateOptions) {
    let changed = options.environment.clone().unwrap_or_default();
    let removed = options.remove_environment.clone().unwrap_or_default();
    if changed.is_empty() && removed.is_empty() {
        return;
    }
    let variables = list(config, "Env");
    variables.retain(|variable| {
        let name = variable.as_str().and_then(|text| text.split('=').next()).unwrap_or_default();
        !changed.contains_key(name) && !removed.iter().any(|gone| gone == name)
    });
    variables.extend(changed.iter().map(|(name, value)| json!(format!("{name}={value}"))));
}

fn put_mount(config: &mut Map<String, Value>, host: &mut Map<String, Value>, mount: &NewMount) {
    let to = mount.destination.as_str();
    object(config, "Volumes").remove(to);
    list(host, "Binds").retain(|bind| bind.as_str().and_then(|text| text.split(':').nth(1)) != Some(to));
    object(host, "Tmpfs").remove(to);
    let kind = match mount.kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
    };
    let mut new = json!({"Type": kind, "Target": to, "ReadOnly": mount.writable == Some(false)});
    if let Some(source) = &mount.source {
        new["Source"] = json!(source);
    }
    let mounts = list(host, "Mounts");
    mounts.retain(|known| known["Target"] != to);
    mounts.push(new);
}

fn put_limits(host: &mut Map<String, Value>, limits: &Resources) {
    let number = |host: &Map<String, Value>, key: &str| host.get(key).and_then(Value::as_i64).unwrap_or(0);
    if let Some(memory) = limits.memory_bytes {
        // Docker's own default is twice the memory: it follows.
        if number(host, "MemorySwap") == number(host, "Memory").saturating_mul(2) {
            host.insert("MemorySwap".to_owned(), json!(0));
        }
        host.insert("Memory".to_owned(), json!(memory));
    }
    if let Some(swap) = limits.memory_swap_bytes {
        host.insert("MemorySwap".to_owned(), json!(swap));
    }
    if let Some(cpus) = limits.cpus {
        host.insert("NanoCpus".to_owned(), json!((cpus * NANO).round() as i64));
    }
    if let Some(pids) = limits.pids {
        host.insert("PidsLimit".to_owned(), json!(pids));
    }
}

/// The networks it is connected to, with what was asked for there: fixed addresses, aliases, links.
fn endpoints(old: &Value) -> BTreeMap<String, Value> {
    let id = old["Id"].as_str().unwrap_or_default();
    let short = id.get(..SHORT_ID).unwrap_or(id);
    let networks = old["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
    networks
        .map(|(name, endpoint)| {
            let mut asked = json!({});
            for key in ["IPAMConfig", "Links", "Aliases", "DriverOpts"] {
                if !endpoint[key].is_null() {
                    asked[key] = endpoint[key].clone();
                }
            }
            if let Some(aliases) = asked["Aliases"].as_array_mut() {
                aliases.retain(|alias| alias.as_str() != Some(short));
            }
            if asked["Aliases"].is_null() {
                asked.as_object_mut().map(|asked| asked.remove("Aliases"));
            }
            (name.clone(), asked)
        })
        .collect()
}

fn assemble(config: Map<String, Value>, host: Map<String, Value>, mut endpoints: BTreeMap<String, Value>) -> Plan {
    let mode = network_mode(&host);
    let mut body = config;
    body.insert("HostConfig".to_owned(), Value::Object(host));
    if mode.starts_with("container:") || mode == "host" || mode == "none" {
        return Plan { body: Value::Object(body), networks: Vec::new() };
    }
    let first = if mode == "default" { "bridge" } else { mode.as_str() };
    if let Some(endpoint) = endpoints.remove(first) {
        body.insert("NetworkingConfig".to_owned(), json!({"EndpointsConfig": {first: endpoint}}));
    }
    Plan { body: Value::Object(body), networks: endpoints.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old() -> Value {
        json!({
            "Id": "cafe0123456789abcdef", "Name": "/shop-web-1", "Image": "sha256:1",
            "Config": {
                "Hostname": "cafe01234567", "Image": "shop/web:1", "Env": ["PATH=/bin", "MODE=a", "KEEP=1"],
                "Cmd": ["serve"], "Entrypoint": null, "WorkingDir": "/app", "User": "web",
                "Labels": {"team": "shop", "of-image": "1"}, "Volumes": {"/data": {}, "/cache": {}}, "SomethingNew": 7,
            },
            "HostConfig": {
                "NetworkMode": "back", "Binds": ["/srv:/srv:ro"], "Memory": 100, "MemorySwap": 200,
                "Mounts": [{"Type": "volume", "Target": "/cache"}], "Links": ["/db:/shop-web-1/database"], "Novelty": true,
            },
            "Mounts": [
                {"Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": false},
                {"Type": "volume", "Name": "aaaa", "Destination": "/data", "RW": true},
                {"Type": "volume", "Name": "bbbb", "Destination": "/cache", "RW": true},
            ],
            "NetworkSettings": {"Networks": {
                "back": {"Aliases": ["web", "cafe01234567"], "IPAMConfig": {"IPv4Address": "10.9.0.5"}, "IPAddress": "10.9.0.5"},
                "front": {"Aliases": ["www", "cafe01234567"], "IPAMConfig": null},
            }},
        })
    }

    fn image() -> Value {
        json!({"Env": ["PATH=/bin"], "Cmd": ["serve"], "WorkingDir": "/app", "User": "root", "Labels": {"of-image": "1"}})
    }

    #[test]
    fn what_is_not_named_stays_and_what_is_anonymous_is_named() {
        let known = Known { from: "shop/web:1".to_owned(), ..Known::default() };
        let plan = successor(&old(), &known, &RecreateOptions::default()).expect("a plan");
        let host = &plan.body["HostConfig"];
        assert_eq!(host["Binds"], json!(["/srv:/srv:ro", "aaaa:/data"]));
        assert_eq!(host["Mounts"][0], json!({"Type": "volume", "Target": "/cache", "Source": "bbbb"}));
        assert_eq!((&host["Novelty"], &plan.body["SomethingNew"]), (&json!(true), &json!(7)));
        assert_eq!(host["Links"], json!(["db:database"]));
        assert!(plan.body["Hostname"].is_null(), "it was made from the id");
        let back = &plan.body["NetworkingConfig"]["EndpointsConfig"]["back"];
        assert_eq!(*back, json!({"Aliases": ["web"], "IPAMConfig": {"IPv4Address": "10.9.0.5"}}));
        assert_eq!(plan.networks, [("front".to_owned(), json!({"Aliases": ["www"]}))]);
        assert_eq!(plan.body["Env"], old()["Config"]["Env"]);
    }

    #[test]
    fn another_image_gives_what_the_old_one_gave() {
        let known =
            Known { image: Some(image()), from: "shop/web:2".to_owned(), other_image: true, ..Known::default() };
        let options: RecreateOptions = serde_json::from_value(json!({
            "environment": {"MODE": "b"}, "remove_environment": ["KEEP"], "labels": {"tier": "1"}, "remove_labels": ["team"],
            "limits": {"memory_bytes": 300}, "mounts": [{"kind": "tmpfs", "destination": "/data"}],
        }))
        .expect("options");
        let plan = successor(&old(), &known, &options).expect("a plan");
        assert!(plan.body["Cmd"].is_null() && plan.body["WorkingDir"].is_null(), "from the image");
        assert_eq!(plan.body["User"], "web", "its own");
        assert_eq!((&plan.body["Env"], &plan.body["Labels"]), (&json!(["MODE=b"]), &json!({"tier": "1"})));
        let host = &plan.body["HostConfig"];
        assert_eq!((&host["Memory"], &host["MemorySwap"]), (&json!(300), &json!(0)));
        assert_eq!(host["Binds"], json!(["/srv:/srv:ro"]), "the tmpfs is in its place");
    }

    #[test]
    fn a_replica_shares_nothing_that_only_one_can_have() {
        assert!(replica(&old(), 2).expect_err("a fixed address").message.contains("back"));
        let mut model = old();
        model["NetworkSettings"]["Networks"]["back"]["IPAMConfig"] = Value::Null;
        let plan = replica(&model, 2).expect("a plan");
        assert_eq!(plan.body["Labels"][LABEL_NUMBER], "2");
        assert_eq!(plan.body["HostConfig"]["Binds"], json!(["/srv:/srv:ro"]), "anonymous volumes are its own");
        model["HostConfig"]["PortBindings"] = json!({"80/tcp": [{"HostPort": "8080"}]});
        assert!(replica(&model, 2).expect_err("a fixed port").message.contains("80/tcp"));
    }

    #[test]
    fn a_sharer_of_a_network_has_none_of_its_own() {
        let mut sharer = old();
        sharer["HostConfig"]["NetworkMode"] = json!("container:dead");
        sharer["NetworkSettings"]["Networks"] = json!({});
        let known = Known { from: "x".to_owned(), network_of: Some("beef".to_owned()), ..Known::default() };
        let plan = successor(&sharer, &known, &RecreateOptions::default()).expect("a plan");
        assert_eq!(plan.body["HostConfig"]["NetworkMode"], "container:beef");
        assert!(plan.body["NetworkingConfig"].is_null());
        assert!(successor(&old(), &known, &RecreateOptions::default()).is_err(), "it has its own");
    }
}
