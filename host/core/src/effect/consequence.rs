//! What an effect leaves behind beside its answer, said of every one of them.
//!
//! Deliberately not here: the class and how an intent is settled, which stand with each effect.

use super::Effect;

/// What beside its answer.
enum Consequence {
    Nothing,
    /// A container that did not run may run afterwards.
    Revives,
    /// A container differs from what its compose file says.
    Drifts,
    /// Both.
    RevivesAndDrifts,
    /// What is lost nobody can bring back.
    Loses,
}

impl Effect {
    /// Whether a container that somebody stopped may run afterwards.
    pub fn revives(&self) -> bool {
        match self.consequence() {
            Consequence::Revives | Consequence::RevivesAndDrifts => true,
            Consequence::Nothing | Consequence::Drifts | Consequence::Loses => false,
        }
    }

    /// Whether a container of a compose project differs from its file afterwards, until compose makes it anew.
    pub fn drifts(&self) -> bool {
        match self.consequence() {
            Consequence::Drifts | Consequence::RevivesAndDrifts => true,
            Consequence::Nothing | Consequence::Revives | Consequence::Loses => false,
        }
    }

    /// Whether it is permitted only by the container's name: a pattern, a service or a label does not suffice.
    pub fn by_name_only(&self) -> bool {
        match self.consequence() {
            Consequence::Loses => true,
            Consequence::Nothing | Consequence::Revives | Consequence::Drifts | Consequence::RevivesAndDrifts => false,
        }
    }

    fn consequence(&self) -> Consequence {
        match self {
            Effect::StartContainer(_) | Effect::RestartContainer(_) => Consequence::Revives,
            Effect::UpdateResources(_) | Effect::ConnectNetwork(_) | Effect::DisconnectNetwork(_) => {
                Consequence::Drifts
            }
            Effect::RecreateContainer(_) => Consequence::RevivesAndDrifts,
            Effect::TruncateContainerLog(_) => Consequence::Loses,
            Effect::ListContainers(_)
            | Effect::InspectContainer(_)
            | Effect::ContainerStats(_)
            | Effect::ContainerProcesses(_)
            | Effect::Dependents(_)
            | Effect::RecentEvents(_)
            | Effect::ContainerChanges(_)
            | Effect::ListImages(_)
            | Effect::DiskUsage(_)
            | Effect::StopContainer(_)
            | Effect::KillContainer(_)
            | Effect::PauseContainer(_)
            | Effect::UnpauseContainer(_)
            | Effect::Exec(_)
            | Effect::RemoveContainer(_)
            | Effect::ScaleService(_)
            | Effect::PruneImages(_)
            | Effect::PruneBuildCache(_)
            | Effect::TailContainer(_)
            | Effect::SearchContainer(_)
            | Effect::QueryLoki(_)
            | Effect::Query(_)
            | Effect::QueryRange(_)
            | Effect::HttpProbe(_)
            | Effect::TcpCheck(_)
            | Effect::DnsLookup(_)
            | Effect::Get(_)
            | Effect::Request(_)
            | Effect::Send(_)
            | Effect::StateGet(_)
            | Effect::StatePut(_)
            | Effect::StateCompareAndPut(_)
            | Effect::Now(_)
            | Effect::Sleep(_)
            | Effect::RandomU64(_)
            | Effect::Log(_)
            | Effect::Progress(_)
            | Effect::AttachEvidence(_)
            | Effect::Ask(_)
            | Effect::ListAlerts(_)
            | Effect::ListSilences(_)
            | Effect::CreateSilence(_)
            | Effect::ExpireSilence(_)
            | Effect::Choose(_)
            | Effect::Summarize(_)
            | Effect::Extract(_)
            | Effect::Similar(_) => Consequence::Nothing,
        }
    }
}
