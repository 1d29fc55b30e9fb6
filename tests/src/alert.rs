//! Alerts as senders write them: Alertmanager's webhook message, version 4.
//!
//! Deliberately not here: the sample files of `examples/alerts`, which are for people and tested as they are.

use serde_json::{Map, Value, json};

/// One alert of a message.
#[derive(Debug, Clone)]
pub struct Alert {
    labels: Map<String, Value>,
    starts_at: String,
    fingerprint: Option<String>,
    resolved: bool,
}

impl Alert {
    /// A firing alert of that name.
    pub fn firing(name: &str) -> Alert {
        let labels = [("alertname".to_owned(), Value::from(name))].into_iter().collect();
        Alert { labels, starts_at: "2026-03-01T03:12:45.120Z".to_owned(), fingerprint: None, resolved: false }
    }

    /// `ContainerUnhealthy` about a container, as the shipped rule raises it.
    pub fn unhealthy(container: &str) -> Alert {
        Alert::firing("ContainerUnhealthy").label("name", container).label("severity", "warning")
    }

    /// With one more label.
    pub fn label(mut self, name: &str, value: &str) -> Alert {
        self.labels.insert(name.to_owned(), Value::from(value));
        self
    }

    /// With that fingerprint; without, the sender omits it.
    pub fn fingerprint(mut self, fingerprint: &str) -> Alert {
        self.fingerprint = Some(fingerprint.to_owned());
        self
    }

    /// Firing since then.
    pub fn starts_at(mut self, time: &str) -> Alert {
        time.clone_into(&mut self.starts_at);
        self
    }

    /// The same alert, resolved.
    pub fn resolved(mut self) -> Alert {
        self.resolved = true;
        self
    }

    /// As it stands in a message.
    pub fn value(&self) -> Value {
        let mut value = json!({
            "status": if self.resolved { "resolved" } else { "firing" },
            "labels": self.labels,
            "annotations": {"summary": "sent by a test"},
            "startsAt": self.starts_at,
            "endsAt": if self.resolved { "2026-03-01T03:30:00Z" } else { "0001-01-01T00:00:00Z" },
            "generatorURL": "http://127.0.0.1:9090/graph",
        });
        if let Some(fingerprint) = &self.fingerprint {
            value["fingerprint"] = Value::from(fingerprint.as_str());
        }
        value
    }
}

/// A webhook message with those alerts.
pub fn message(alerts: &[Alert]) -> Value {
    message_of(alerts.iter().map(Alert::value).collect())
}

/// A webhook message with whatever stands for alerts.
pub fn message_of(alerts: Vec<Value>) -> Value {
    json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"test\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "sandbook",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "alerts": alerts,
    })
}
