//! Many datagrams for one system call, the kernel's list of datagrams that came back, and sockets registered for what we want to
//! know of them. The only unsafe code of this crate.

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use bytes::Bytes;
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::datagrams::Returned;

/// Datagrams taken or given with one call.
pub(crate) const BATCH: usize = 32;

/// The largest datagram there is. TRN-01
const DATAGRAM: usize = 65_535;

/// From one buffer to the next: not a power of two, for then the first octets of all buffers, which is where the datagrams are,
/// would share the same few sets of the processor's caches.
const STRIDE: usize = 65_536 + 33 * 64;

/// Datagrams that are asked for when few come. To prepare room for many would cost more than to take one.
const FEW: usize = 4;

/// Registers a socket with the runtime.
///
/// # Errors
/// When the runtime has no room for it.
pub(crate) fn register(socket: Socket, interest: Interest) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a Socket owns its descriptor, names the same one all its life, and closes it only when it is dropped, which the
    // AsyncFd does after it took the registration back.
    let registered = unsafe { AsyncFd::register_with_interest(socket, interest) };
    registered.map_err(|refused| refused.into_parts().1)
}

/// Room for one batch of received datagrams.
pub(crate) struct Inbox {
    buffer: Box<[u8]>,
    received: Vec<(usize, SocketAddr)>,
    /// How many are asked for next.
    room: usize,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let buffer = vec![0; BATCH * STRIDE].into_boxed_slice();
        Self { buffer, received: Vec::with_capacity(BATCH), room: FEW }
    }

    /// Receives up to a batch of datagrams without waiting; says whether it took all there were.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        self.received.clear();
        let asked = self.room;
        let mut names = [const { MaybeUninit::<libc::sockaddr_storage>::uninit() }; BATCH];
        let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
        let buffers = self.buffer.chunks_exact_mut(STRIDE).take(asked);
        for (((header, part), name), buffer) in
            headers.iter_mut().zip(&mut parts).zip(&mut names).zip(buffers)
        {
            let part = part.write(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: DATAGRAM });
            header.write(header_of(part, name.as_mut_ptr(), size_of::<libc::sockaddr_storage>() as _));
        }
        // SAFETY: each of the headers that are asked for points to one iovec, one buffer of the length given and one address, all
        // of which live until the call returns; the count is no larger than the arrays.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                asked as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.room = if count == asked { (4 * asked).min(BATCH) } else { (2 * count).clamp(FEW, BATCH) };
        for (header, name) in headers.iter().zip(&names).take(count) {
            // SAFETY: it was written above, as every one that is counted.
            let header = unsafe { header.assume_init_ref() };
            // SAFETY: the kernel has written an address of msg_namelen bytes here for each datagram it counted.
            let address = unsafe { read_address(name, header.msg_hdr.msg_namelen) };
            // A datagram without an address cannot be answered: length 0 is skipped by the reader.
            let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            match address {
                Some(address) => self.received.push((header.msg_len as usize, address)),
                None => self.received.push((0, unspecified)),
            }
        }
        Ok(count < asked)
    }

    /// The datagrams of the last batch, each copied to a buffer of its own size.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, Bytes)> {
        let buffers = self.buffer.chunks_exact(STRIDE);
        let received = self.received.iter().zip(buffers).filter(|((length, _), _)| *length > 0);
        received.map(|((length, peer), buffer)| (*peer, Bytes::copy_from_slice(&buffer[..*length])))
    }
}

/// Sends the first datagrams of a list without waiting and says how many. An error is that of the first one.
pub(crate) fn send<'a>(
    socket: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = (SocketAddr, &'a Bytes)>,
) -> io::Result<usize> {
    let mut names = [const { MaybeUninit::<libc::sockaddr_storage>::uninit() }; BATCH];
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let mut count = 0;
    for (((header, part), name), (peer, bytes)) in
        headers.iter_mut().zip(&mut parts).zip(&mut names).zip(datagrams)
    {
        let base = bytes.as_ptr().cast_mut().cast();
        let part = part.write(libc::iovec { iov_base: base, iov_len: bytes.len() });
        let length = write_address(name, peer);
        header.write(header_of(part, name.as_mut_ptr(), length));
        count += 1;
    }
    // SAFETY: the first `count` headers are written, and point to one iovec, one buffer of the length given and one address each, all of
    // which live until the call returns. The kernel only reads the buffers.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// A header for one datagram, with one part and one address.
fn header_of(
    part: &mut libc::iovec,
    name: *mut libc::sockaddr_storage,
    length: libc::socklen_t,
) -> libc::mmsghdr {
    // SAFETY: mmsghdr is plain data for which zero bytes are valid: null pointers with zero lengths.
    let mut header: libc::mmsghdr = unsafe { zeroed() };
    header.msg_hdr.msg_name = name.cast();
    header.msg_hdr.msg_namelen = length;
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// Asks the kernel to keep the datagrams that come back with an ICMP error.
pub(crate) fn keep_returned(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let on: libc::c_int = 1;
    let (level, option) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    // SAFETY: the option value is an int that lives until the call returns, and the length is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes one datagram that came back; `WouldBlock` when there is none.
pub(crate) fn take_returned(socket: BorrowedFd<'_>) -> io::Result<Option<Returned>> {
    let mut head = [0_u8; 2048];
    let mut control = [0_u64; 64];
    let mut name = MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut part = libc::iovec { iov_base: head.as_mut_ptr().cast(), iov_len: head.len() };
    // SAFETY: msghdr is plain data for which zero bytes are valid.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the header points to one buffer, one address and one control area of the lengths given, all of which live
    // until the call returns.
    let length = unsafe {
        libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
    };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has written an address of msg_namelen bytes.
    let peer = unsafe { read_address(&name, header.msg_namelen) };
    // SAFETY: the kernel has filled the header and the control area, which both live.
    let refused = unsafe { is_refused(&header) };
    Ok(peer.map(|peer| Returned { peer, head: Bytes::copy_from_slice(&head[..length]), refused }))
}

/// Did a host on the way back say, by ICMP, that nobody listens at the port?
///
/// # Safety
/// The header is one that `recvmsg` has filled, and its control area lives.
unsafe fn is_refused(header: &libc::msghdr) -> bool {
    let ours = [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)];
    // SAFETY: the caller vouches for the header and its area.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: the macro gives only headers that lie within the area.
        let control = unsafe { at.read_unaligned() };
        // SAFETY: only the length is computed.
        let least = unsafe { libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as libc::c_uint) };
        if ours.contains(&(control.cmsg_level, control.cmsg_type)) && control.cmsg_len >= least as _ {
            // SAFETY: by its length the data begins with that struct, for which every value of its bytes is valid.
            let error = unsafe { libc::CMSG_DATA(at).cast::<libc::sock_extended_err>().read_unaligned() };
            let by_icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&error.ee_origin);
            return by_icmp && error.ee_errno == libc::ECONNREFUSED as u32;
        }
        // SAFETY: as for the first one.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    false
}

/// The queue of what has come to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Datagrams dropped because it was full, since the socket was made; wraps around.
    pub(crate) dropped: u32,
    /// What it takes of the memory that it may have.
    pub(crate) percent: u8,
}

/// What the kernel says of the queue of a socket.
pub(crate) fn queue(socket: BorrowedFd<'_>) -> io::Result<Queue> {
    const USED: usize = libc::SK_MEMINFO_RMEM_ALLOC as usize;
    const ALLOWED: usize = libc::SK_MEMINFO_RCVBUF as usize;
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    let mut memory = [0_u32; DROPS + 1];
    let mut length = size_of_val(&memory) as libc::socklen_t;
    // SAFETY: the option value is an array of that many bytes, which lives until the call returns, as does its length.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            memory.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let percent = u64::from(memory[USED]) * 100 / u64::from(memory[ALLOWED]).max(1);
    Ok(Queue { dropped: memory[DROPS], percent: percent.min(100) as u8 })
}

/// # Safety
/// The first `length` bytes of `name` are initialised.
unsafe fn read_address(
    name: &MaybeUninit<libc::sockaddr_storage>,
    length: libc::socklen_t,
) -> Option<SocketAddr> {
    let length = length as usize;
    if length < size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: the family is the first field of every address, and the caller vouches for that many bytes.
    let family = unsafe { name.as_ptr().cast::<libc::sa_family_t>().read() };
    match libc::c_int::from(family) {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the family says sockaddr_in, and that many bytes are initialised; the storage is aligned for it.
            let v4 = unsafe { name.as_ptr().cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: the family says sockaddr_in6, and that many bytes are initialised; the storage is aligned for it.
            let v6 = unsafe { name.as_ptr().cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn write_address(storage: &mut MaybeUninit<libc::sockaddr_storage>, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(address) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage has the size and alignment for every kind of address.
            unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in>().write(v4) };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(address) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: a sockaddr_storage has the size and alignment for every kind of address.
            unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in6>().write(v6) };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_batch_arrives_in_order_with_its_senders_address() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let (near, far) = (UdpSocket::bind(local).unwrap(), UdpSocket::bind(local).unwrap());
            let texts: Vec<Bytes> = (0..3).map(|n| Bytes::from(format!("datagram {n}"))).collect();
            let to = far.local_addr().unwrap();
            assert_eq!(send(near.as_fd(), texts.iter().map(|text| (to, text))).unwrap(), 3);
            let mut inbox = Inbox::new();
            inbox.receive(far.as_fd()).unwrap();
            let from = near.local_addr().unwrap();
            let expected: Vec<_> = texts.into_iter().map(|text| (from, text)).collect();
            assert_eq!(inbox.datagrams().collect::<Vec<_>>(), expected);
            assert_eq!(inbox.receive(far.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn batches_grow_with_what_comes_until_one_takes_all_there_is() {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let texts: Vec<Bytes> = (0..60_u8).map(|n| Bytes::from(vec![n; 1 + usize::from(n)])).collect();
        let to = far.local_addr().unwrap();
        for text in &texts {
            send(near.as_fd(), std::iter::once((to, text))).unwrap();
        }
        let (mut inbox, mut sizes, mut taken) = (Inbox::new(), Vec::new(), Vec::new());
        while !inbox.receive(far.as_fd()).unwrap() {
            sizes.push(inbox.datagrams().count());
            taken.extend(inbox.datagrams().map(|(_, text)| text));
        }
        taken.extend(inbox.datagrams().map(|(_, text)| text));
        assert_eq!((sizes, taken), (vec![FEW, 4 * FEW, BATCH], texts));
    }

    #[test]
    fn a_queue_that_nobody_empties_says_how_full_it_is_and_what_it_dropped() {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        assert_eq!(queue(far.as_fd()).unwrap(), Queue { dropped: 0, percent: 0 });
        let (to, text) = (far.local_addr().unwrap(), Bytes::from(vec![b'x'; 8000]));
        while queue(far.as_fd()).unwrap().dropped == 0 {
            send(near.as_fd(), std::iter::once((to, &text))).unwrap();
        }
        assert!(queue(far.as_fd()).unwrap().percent > 50);
    }

    /// TRN-08
    #[test]
    fn a_datagram_to_a_closed_port_comes_back_with_its_beginning() {
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        keep_returned(near.as_fd(), near.local_addr().unwrap()).unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = Bytes::from_static(b"hello");
        assert_eq!(send(near.as_fd(), std::iter::once((closed, &text))).unwrap(), 1);
        let returned = take_returned(near.as_fd()).unwrap();
        assert_eq!(returned, Some(Returned { peer: closed, head: text, refused: true }));
        assert_eq!(take_returned(near.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
