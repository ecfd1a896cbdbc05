//! Properties of the readers in this crate, for the package `fuzz`: each function panics where a
//! property does not hold for its input. Built with the feature `fuzzing` only.

pub use crate::hop::fuzzing::{
    chunked, client_hello, forwarded_request, forwarded_response, proxy_protocol,
};
pub use crate::wire::fuzzing::{hpack, http1_response, http2_frames, huffman};
