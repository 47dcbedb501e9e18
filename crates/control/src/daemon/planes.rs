//! Which planes a daemon has. What is left out is not there, whatever the settings say: nothing listens for it, nothing
//! runs for it, and at the doors for others there is nothing to ask of it.

use crate::config::{Listen, Settings, Workload};
use crate::error::{ErrorCode, ServiceError};

/// Which planes a daemon has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Planes {
    /// All that the settings ask for.
    #[default]
    All,
    /// The Docker gateway, and the API where its address is set.
    Gateway,
    /// The Token Broker: its endpoints, feeds and the directory of services, at the API and for containers.
    Broker,
}

impl Planes {
    /// Takes out of the settings what belongs to others.
    pub(super) fn choose(self, settings: &mut Settings) -> Result<(), ServiceError> {
        match self {
            Self::All => {}
            Self::Gateway => {
                if settings.gateway.listen == Listen::Off {
                    let text = "the gateway is to listen nowhere";
                    return Err(ServiceError::new(ErrorCode::Usage, text).hint(
                        "name its address with --listen ADDRESS:PORT, or by the setting gateway.listen",
                    ));
                }
                settings.watch.enabled = false;
                settings.revocation.listen = Listen::Off;
                settings.acme.listen = Listen::Off;
            }
            Self::Broker => {
                if settings.api.listen == Listen::Off && settings.workload == Workload::Off {
                    let text = "the broker is to listen nowhere";
                    return Err(ServiceError::new(ErrorCode::Usage, text).hint(
                        "name its address with --listen ADDRESS:PORT, or by the setting api.listen",
                    ));
                }
                settings.gateway.listen = Listen::Off;
                settings.gateway.socket = Workload::Off;
                settings.revocation.listen = Listen::Off;
                settings.acme.listen = Listen::Off;
                settings.watch.enabled = false;
            }
        }
        Ok(())
    }

    /// Whether anything needs the engine: the gateway, labels, or containers that have to be told apart.
    pub(super) fn need_engine(self, settings: &Settings) -> bool {
        self != Self::Broker || settings.workload != Workload::Off
    }
}
