//! What there is before the first step: made on the real engine, then taken over by the simulated world.
//!
//! Deliberately not here: the steps.

use super::*;

impl Sequence {
    /// An engine for what concerns all of one.
    pub(super) fn own_engine(&self) -> Option<Dockerd> {
        let own = (!self.images.is_empty()).then(Dockerd::start);
        for (engine, (name, files)) in own.iter().flat_map(|own| self.images.iter().map(move |image| (own, image))) {
            engine.import(name, "1", files);
        }
        own
    }
}

impl Stage<'_> {
    pub(super) async fn set<'a>(engine: &'a Dockerd, sequence: &'a Sequence) -> Stage<'a> {
        let mut live = live(&engine.endpoint(), &[]);
        let mut settings = docker::Settings::new(&engine.endpoint()).expect("an endpoint");
        settings.read_timeout = Duration::from_secs(20);
        live.hosts = Arc::new(Hosts::from([("local".to_owned(), Arc::new(Host::new("local", settings)))]));
        let mut stage = Stage {
            engine,
            live,
            world: World::new(now_ms()),
            sequence,
            ids: BTreeMap::new(),
            events: BTreeMap::new(),
            shown: BTreeMap::new(),
            differences: Vec::new(),
            compared: 0,
        };
        std::thread::scope(|scope| {
            let made = sequence.networks.iter().map(|(name, part)| scope.spawn(|| engine.network_part(name, *part)));
            made.for_each(|made| drop(made.join().expect("dockerd answers")));
        });
        for given in &sequence.given {
            stage.make(given).await;
        }
        stage.world.now_ms = now_ms();
        stage.take_over_host().await;
        for given in &sequence.given {
            stage.take_over(given).await;
        }
        stage
    }

    /// The engine's API, whose client blocks and so wants a thread without a runtime.
    pub(super) fn ask(&self, method: &str, path: &str, body: &Value) -> sandbook_tests::http::Answer {
        std::thread::scope(|scope| {
            scope.spawn(|| self.engine.api().json(method, path, body)).join().expect("dockerd answers")
        })
    }

    async fn make(&mut self, given: &Given) {
        let mut request = json!({"Image": IMAGE, "HostConfig": {"NetworkMode": "none"}});
        sequences::merge(&mut request, &given.request);
        let request = serde_json::from_str(&self.filled(&request.to_string())).expect("JSON");
        let path = format!("/containers/create?name={}", self.name(given.name));
        let answer = self.ask("POST", &path, &request).expect(201);
        let id = answer.json()["Id"].as_str().expect("dockerd names what it creates").to_owned();
        if given.started {
            self.ask("POST", &format!("/containers/{id}/start"), &json!({})).expect(204);
        }
        self.ids.insert(given.name.to_owned(), id);
        if given.request.get("Healthcheck").is_some() && given.started {
            self.await_real(given.name, "/state/health", &json!("healthy")).await;
        }
        if !given.ready.is_empty() {
            let said = async |stage: &Self| {
                let page = stage.real("logs.tail-container", given.name, json!({})).await.expect("a page");
                page["text"].as_str().is_some_and(|text| text.contains(given.ready))
            };
            while !said(self).await {
                tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
            }
        }
    }

    /// What of the host itself a plan would know: its images and networks.
    async fn take_over_host(&mut self) {
        let networks = self.sequence.networks.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut images = Vec::new();
        if !self.sequence.images.is_empty() {
            let listed = self.real("docker.list-images", "", json!({})).await.expect("images");
            let listed: Vec<sandbook_core::effect::docker::Image> =
                serde_json::from_value(listed).expect("the shape of the catalogue");
            let at = |text: &str| sandbook_core::world::Moment::parse(text).expect("a time");
            let of = |image: sandbook_core::effect::docker::Image| HostImage {
                created_at: Some(at(&image.created_at)),
                id: image.id,
                tags: image.tags,
                size_bytes: image.size_bytes,
            };
            images = listed.into_iter().map(of).collect();
        }
        let host = self.world.hosts.entry("local".to_owned()).or_default();
        (host.networks, host.images) = (networks, images);
    }

    async fn take_over(&mut self, given: &Given) {
        let details = self.real("docker.inspect-container", given.name, json!({})).await.expect("details");
        let events = self.real("docker.recent-events", given.name, all_events(given.name)).await.expect("events");
        let last = events.as_array().and_then(|events| events.last()?["at"].as_str().map(str::to_owned));
        self.events.insert(given.name, last.expect("it was created"));
        let details: sandbook_core::effect::docker::ContainerDetails =
            serde_json::from_value(details).expect("the shape of the catalogue");
        let mut container = Container::from_details(&details);
        let changes = self.real("docker.container-changes", given.name, json!({})).await.expect("changes");
        container.changes = serde_json::from_value(changes["changes"].clone()).expect("the shape of the catalogue");
        (given.inside)(&mut container, self.world.now_ms);
        for of in &mut container.volumes_from {
            *of = self.filled(of);
        }
        self.world.add_container("local", container);
        let again = serde_json::to_value(self.world.details("local", &self.name(given.name)).expect("taken over"));
        let (real, again) = (serde_json::to_value(&details).expect("JSON"), again.expect("JSON"));
        if real != again {
            self.differences.push(format!("{} {}: taken over\n  {real}\n  {again}", self.sequence.name, given.name));
        }
        self.compared += 1;
    }
}
