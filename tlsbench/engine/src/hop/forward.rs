//! A reverse proxy: requests of a client, by HTTP/1.1 or HTTP/2, go to the next hop by HTTP/1.1, as
//! nginx has it, and responses come back.

pub(super) mod http1;
pub(super) mod http2;
mod upstream;
