//! Requests to the kernel over netlink, each answered before the next is made: interfaces and
//! addresses (rtnetlink) and features of interfaces (ethtool's family of generic netlink).
//!
//! Everything is of the namespace that the calling thread is in.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST,
    NetlinkDeserializable, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
    ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily as Family, RouteNetlinkMessage};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
    socket_with,
};

/// A socket to the kernel.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// One end of a pair.
#[derive(Clone, Debug)]
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    /// The number, which is unique in its namespace.
    pub(super) index: u32,
}

impl Netlink {
    /// Opens a socket to the part of the kernel that has interfaces and addresses.
    pub(super) fn route() -> io::Result<Self> {
        Self::open(None)
    }

    /// Opens a socket to the families that have names of their own.
    pub(super) fn generic() -> io::Result<Self> {
        Self::open(Some(netlink::GENERIC))
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
        let socket = socket_with(family, SocketType::RAW, flags, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_MAX))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes a pair of veth interfaces, one end of it here and the other in another namespace.
    pub(super) fn make_pair(
        &mut self,
        here: &End<'_>,
        there: &End<'_>,
        namespace: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let mut peer = end(there);
        peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        let mut pair = end(here);
        pair.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.ask(RouteNetlinkMessage::NewLink(pair), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Gives an interface an address, with the length of its network's prefix.
    pub(super) fn add_address(&mut self, index: u32, ip: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = Family::Inet;
        (message.header.index, message.header.prefix_len) = (index, prefix);
        message.attributes = vec![
            AddressAttribute::Local(IpAddr::V4(ip)),
            AddressAttribute::Address(IpAddr::V4(ip)),
        ];
        self.ask(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Lets an interface carry packets.
    pub(super) fn set_up(&mut self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        (message.header.flags, message.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
        self.ask(RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }

    /// Takes an interface away, and with it the other end of its pair.
    pub(super) fn delete(&mut self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.ask(RouteNetlinkMessage::DelLink(message), 0).map(drop)
    }

    /// The number of ethtool's family, which the kernel gives when it starts.
    pub(super) fn ethtool(&mut self) -> io::Result<u16> {
        let asked = GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(Features::family_name().to_owned())],
        };
        let answered = self.ask(GenlMessage::from_payload(asked), 0)?;
        let mut said = answered.into_iter().flat_map(|answer| answer.payload.nlas);
        said.find_map(|said| match said {
            GenlCtrlAttrs::FamilyId(number) => Some(number),
            _ => None,
        })
        .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Switches features of an interface on or off, each by the name that the kernel has for it.
    pub(super) fn set_features(
        &mut self,
        ethtool: u16,
        index: u32,
        features: &[(&'static str, bool)],
    ) -> io::Result<()> {
        let mut message = GenlMessage::from_payload(Features::of(index, features));
        message.set_resolved_family_id(ethtool);
        self.ask(message, 0).map(drop)
    }

    /// Asks for one thing, and reads until the kernel says that it is done, or not.
    fn ask<M>(&mut self, message: M, flags: u16) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Debug,
        NetlinkPayload<M>: From<M>,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut asked = NetlinkMessage::from(message);
        asked.header.sequence_number = self.sequence;
        asked.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        asked.finalize();
        let mut bytes = vec![0; asked.buffer_len()];
        asked.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;
        let (mut answers, mut heard) = (Vec::new(), vec![0; ANSWER_BYTES]);
        loop {
            let (_, length) = recv(&self.socket, heard.as_mut_slice(), RecvFlags::TRUNC)?;
            let mut rest = heard.get(..length).ok_or(io::ErrorKind::InvalidData)?;
            while !rest.is_empty() {
                let answer = NetlinkMessage::<M>::deserialize(rest).map_err(io::Error::other)?;
                let length = usize::try_from(answer.header.length).unwrap_or(usize::MAX);
                rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
                match answer.payload {
                    _ if answer.header.sequence_number != self.sequence => {}
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    _ => {}
                }
            }
        }
    }
}

fn end(end: &End<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = end.index;
    message.attributes =
        vec![LinkAttribute::IfName(end.name.to_owned()), LinkAttribute::Mtu(MTU_MAX)];
    message
}

/// `ETHTOOL_MSG_FEATURES_SET` (Documentation/networking/ethtool-netlink.rst), which nobody answers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Features(Vec<DefaultNla>);

impl Features {
    fn of(index: u32, features: &[(&'static str, bool)]) -> Self {
        let header = [
            DefaultNla::new(HEADER_DEV_INDEX, index.to_ne_bytes().to_vec()),
            DefaultNla::new(HEADER_FLAGS, FLAG_OMIT_REPLY.to_ne_bytes().to_vec()),
        ];
        let bit = |(name, is_on): &(&str, bool)| {
            let mut name = name.as_bytes().to_vec();
            name.push(0);
            // A bit that is named without a value is to be off.
            let value = is_on.then(|| DefaultNla::new(BIT_VALUE, Vec::new()));
            let bit: Vec<DefaultNla> =
                [DefaultNla::new(BIT_NAME, name)].into_iter().chain(value).collect();
            nested(BITSET_BIT, &bit)
        };
        let bits: Vec<DefaultNla> = features.iter().map(bit).collect();
        let wanted = nested(FEATURES_WANTED, &[nested(BITSET_BITS, &bits)]);
        Self(vec![nested(FEATURES_HEADER, &header), wanted])
    }
}

fn nested(kind: u16, inner: &[DefaultNla]) -> DefaultNla {
    let mut value = vec![0; inner.buffer_len()];
    inner.emit(&mut value);
    DefaultNla::new(kind | NESTED, value)
}

impl GenlFamily for Features {
    fn family_name() -> &'static str {
        "ethtool"
    }

    fn command(&self) -> u8 {
        FEATURES_SET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Features {
    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Features {
    /// An answer, of which nothing is asked.
    fn parse_with_param(_: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        Ok(Self(Vec::new()))
    }
}

/// The kernel answers while it is asked; what waits longer than this is not coming.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The kernel makes answers of at most 8 KiB where it may (`NLMSG_GOODSIZE`).
const ANSWER_BYTES: usize = 32 << 10;
/// `NLMSG_ALIGNTO`.
const ALIGNMENT: usize = 4;
/// `ETH_MAX_MTU`, about what the loopback interface has: packets are cut up as little as there.
const MTU_MAX: u32 = 65_535;

// Of the kernel's `ethtool_netlink.h` and `netlink.h`.
const FEATURES_SET: u8 = 12;
const FEATURES_HEADER: u16 = 1;
const FEATURES_WANTED: u16 = 3;
const HEADER_DEV_INDEX: u16 = 1;
const HEADER_FLAGS: u16 = 3;
const FLAG_OMIT_REPLY: u32 = 2;
const BITSET_BITS: u16 = 3;
const BITSET_BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;
const NESTED: u16 = 1 << 15;
