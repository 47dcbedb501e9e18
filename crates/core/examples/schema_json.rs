//! Prints the policy schema in Cedar's JSON form, which is read in half the time. After each change of the schema:
//!
//! ```text
//! cargo run -p sealock-core --example schema_json > crates/core/src/policy/sealock.cedarschema.json
//! ```

use std::io::Write as _;

use cedar_policy::SchemaFragment;
use sealock_core::policy::PolicySet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(PolicySet::schema_text())?;
    let text = serde_json::to_string(&fragment.to_json_value()?)?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
