mod payloads;
mod resources;
