//! The world of `sandbook demo`: a small shop whose web server has run out of database connections.
//!
//! Deliberately not here: the alert that arrives for it, which the demo itself sends.

use super::{Container, Endpoint, Life, LogLine, Moment, NOW_MS_DEFAULT, World};
use crate::effect::docker::{Health, HealthProbe, Limits, Stats};
use crate::target::{LABEL_NUMBER, LABEL_PROJECT, LABEL_SERVICE};

/// How long the web server takes to be well after a restart, in milliseconds.
const WELL_AFTER_MS: u64 = 4_000;
/// Since when its health check fails.
const ILL_SINCE_MS: u64 = 180_000;
/// What its failing probes say.
const PROBE_OUTPUT: &str = "HTTP 500: connection pool exhausted";

/// What the web server wrote: milliseconds ago and line.
const STORY: &[(u64, &str)] = &[
    (3_600_000, "INFO  listening on :8080, database pool of 20 connections"),
    (900_000, "INFO  GET /cart 200 in 12 ms (pool 6/20)"),
    (600_000, "INFO  POST /checkout 200 in 41 ms (pool 11/20)"),
    (420_000, "WARN  transaction 7f31 still open after 60 s, connection not returned (pool 15/20)"),
    (330_000, "WARN  slow query: SELECT * FROM basket WHERE user_id = $1 took 4,812 ms (pool 18/20)"),
    (240_000, "WARN  no free database connection, request waits (pool 20/20)"),
    (200_000, "ERROR GET /cart 500: connection pool exhausted after 5000 ms (pool 20/20, 34 waiting)"),
    (180_000, "ERROR health check: connection pool exhausted"),
    (120_000, "ERROR POST /checkout 500: connection pool exhausted after 5000 ms (pool 20/20, 71 waiting)"),
    (60_000, "ERROR health check: connection pool exhausted"),
    (20_000, "ERROR GET / 500: connection pool exhausted after 5000 ms (pool 20/20, 96 waiting)"),
    (5_000, "ERROR health check: connection pool exhausted"),
];

impl World {
    /// The demo world: host `local` with the compose project `shop`, whose `shop-web-1` fails its health check since
    /// three minutes and is well four seconds after a restart.
    pub fn invent_demo() -> World {
        let mut world = World::new(NOW_MS_DEFAULT);
        world.seed = 1;
        world.add_container("local", web(world.now_ms));
        world.add_container("local", member("db", "postgres:16.4", 4, 310));
        world.add_container("local", member("cache", "redis:7.4", 1, 24));
        world.endpoints = vec![Endpoint {
            at: "http://shop-web-1:8080/health".to_owned(),
            container: Some("local/shop-web-1".to_owned()),
            body: "ok".to_owned(),
            ..Endpoint::default()
        }];
        let since = world.now_ms - ILL_SINCE_MS;
        let host = world.hosts.entry("local".to_owned()).or_default();
        host.events.push(super::HostEvent {
            at: Moment::At(since),
            action: "health_status: unhealthy".to_owned(),
            container: "shop-web-1".to_owned(),
            exit_code: None,
        });
        world
    }
}

/// A healthy member of the shop.
fn member(service: &str, image: &str, cpu_percent: u32, memory_mib: u64) -> Container {
    let mut container = Container::named(&format!("shop-{service}-1"), image)
        .label(LABEL_PROJECT, "shop")
        .label(LABEL_SERVICE, service)
        .label(LABEL_NUMBER, "1");
    container.health = Health::Healthy;
    container.restart_policy = "unless-stopped".to_owned();
    container.network_mode = "shop_default".to_owned();
    container.networks = vec!["shop_default".to_owned()];
    container.stats = Stats {
        cpu_percent: f64::from(cpu_percent),
        memory_bytes: memory_mib * 1024 * 1024,
        pids: 12,
        ..Stats::default()
    };
    container.logs = vec![LogLine { at: Moment::From(-3_600_000), line: "ready to accept connections".to_owned() }];
    container
}

fn web(now_ms: u64) -> Container {
    let mut web = member("web", "shop/web:1.8", 37, 402);
    web.health = Health::Unhealthy;
    web.command = ["/app/web", "--port", "8080"].map(str::to_owned).to_vec();
    web.environment_names = ["DATABASE_URL", "REDIS_URL"].map(str::to_owned).to_vec();
    web = web.label("com.docker.compose.depends_on", "db:service_healthy:false,cache:service_started:false");
    web.limits = Limits { memory_bytes: 512 << 20, memory_swap_bytes: 1 << 30, ..Limits::default() };
    web.health_log = [150, 120, 90, 60, 30]
        .map(|ago| HealthProbe { started_at: format!("-{ago}s"), exit_code: 1, output: PROBE_OUTPUT.to_owned() })
        .to_vec();
    web.logs = STORY
        .iter()
        .map(|(ago, line)| LogLine { at: Moment::At(now_ms.saturating_sub(*ago)), line: (*line).to_owned() })
        .collect();
    web.lives = vec![Life {
        healthy_after_ms: Some(WELL_AFTER_MS),
        logs: vec!["INFO  listening on :8080, database pool of 20 connections".to_owned()],
        ..Life::default()
    }];
    web
}
