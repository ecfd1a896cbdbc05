//! Responses of the hop itself, to requests that come to nothing.

use super::counters::Refusal;
use super::http1::head::BadHead;

/// The reason why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorResponse {
    /// The next hop's response is malformed, or cut short before it began.
    BadGateway,
    /// The request is malformed.
    BadRequest,
    /// The request's body is malformed or cut short.
    BadRequestBody,
    /// The request's head is too long.
    HeadTooLong,
    /// The request uses what we do not have.
    NotImplemented,
    /// The request's head or body came too slowly.
    RequestTimeout,
    /// The next hop did not answer in time.
    GatewayTimeout,
    /// The next hop could not be reached.
    Unreachable(Refusal),
    /// The request is of another version.
    Version,
}

impl ErrorResponse {
    /// The status, with its reason.
    pub(super) fn status(self) -> (u16, &'static str) {
        match self {
            Self::BadGateway | Self::Unreachable(_) => (502, "Bad Gateway"),
            Self::BadRequest | Self::BadRequestBody => (400, "Bad Request"),
            Self::GatewayTimeout => (504, "Gateway Timeout"),
            Self::HeadTooLong => (431, "Request Header Fields Too Large"),
            Self::NotImplemented => (501, "Not Implemented"),
            Self::RequestTimeout => (408, "Request Timeout"),
            Self::Version => (505, "HTTP Version Not Supported"),
        }
    }

    /// Returns the reason that it is counted by.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::BadGateway => Refusal::Response,
            Self::BadRequest | Self::HeadTooLong | Self::NotImplemented | Self::Version => {
                Refusal::Request
            }
            Self::BadRequestBody => Refusal::RequestBody,
            Self::GatewayTimeout => Refusal::ResponseTimeout,
            Self::RequestTimeout => Refusal::RequestTimeout,
            Self::Unreachable(why) => why,
        }
    }

    /// The response as HTTP/1.1.
    pub(super) fn put(self, closes: bool, to_head: bool, out: &mut Vec<u8>) {
        let (status, reason) = self.status();
        let body = format!("{status} {reason}\n");
        let connection = if closes { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             {connection}\r\n",
            body.len()
        );
        out.extend_from_slice(head.as_bytes());
        if !to_head {
            out.extend_from_slice(body.as_bytes());
        }
    }
}

impl From<BadHead> for ErrorResponse {
    fn from(bad: BadHead) -> Self {
        match bad {
            BadHead::Malformed => Self::BadRequest,
            BadHead::TooLong => Self::HeadTooLong,
            BadHead::Unknown => Self::NotImplemented,
            BadHead::Version => Self::Version,
        }
    }
}
