#include "pellucid/aggregation/transport.h"

#include "pellucid/aggregation/wire.h"
#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace pellucid::aggregation {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::string_view kMagic("PAG\x01", 4);  // the version is the last
constexpr std::size_t kHeader = 12;

template <auto free>
struct Free {
  template <typename T>
  void operator()(T* pointer) const {
    free(pointer);
  }
};
using Context = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Free<SSL_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Addresses = std::unique_ptr<addrinfo, Free<freeaddrinfo>>;

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

[[noreturn]] void fail_system(const std::string& where, const char* what) {
  throw Error(ErrorKind::kIo, "{}: cannot {}: {}", where, what, std::strerror(errno));
}

[[noreturn]] void fail_tls(const char* what) {
  const unsigned long code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  throw Error(ErrorKind::kIo, "TLS: {}: {}", what, reason == nullptr ? "the other end is gone" : reason);
}

Context context(const SSL_METHOD* method) {
  Context made(SSL_CTX_new(method));
  if (!made || SSL_CTX_set_min_proto_version(made.get(), TLS1_3_VERSION) != 1) fail_tls("no context");
  SSL_CTX_set_mode(made.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return made;
}

Context server_context(const Key& key) {
  const PrivateKey own(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, key.seed.data(), key.seed.size()));
  const Certificate certificate(X509_new());
  Context made = context(TLS_server_method());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  const bool right =
      own && X509_set_version(certificate.get(), 2) == 1 &&
      ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1) == 1 &&
      X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -86'400) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86'400) != nullptr &&
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("pellucid"), -1, -1,
                                 0) == 1 &&
      X509_set_issuer_name(certificate.get(), name) == 1 && X509_set_pubkey(certificate.get(), own.get()) == 1 &&
      X509_sign(certificate.get(), own.get(), nullptr) > 0 &&
      SSL_CTX_use_certificate(made.get(), certificate.get()) == 1 && SSL_CTX_use_PrivateKey(made.get(), own.get()) == 1;
  if (!right) fail_tls("cannot make a certificate");
  return made;
}

// Whether the certificate that the server shows has the key that is expected. That it holds the key, TLS shows.
int has_key(X509_STORE_CTX* store, void* expected) {
  X509* shown = X509_STORE_CTX_get0_cert(store);
  EVP_PKEY* key = shown == nullptr ? nullptr : X509_get0_pubkey(shown);
  PublicKey raw{};
  std::size_t size = raw.size();
  const bool same = key != nullptr && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 &&
                    EVP_PKEY_get_raw_public_key(key, raw.data(), &size) == 1 && size == raw.size() &&
                    raw == *static_cast<const PublicKey*>(expected);
  X509_STORE_CTX_set_error(store, same ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
  return same ? 1 : 0;
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw Error(ErrorKind::kIo, "{}: got a path of {} bytes, expected at most {} for a Unix socket",
                core::printable(path, 4096), path.size(), sizeof address.sun_path - 1);
  }
  std::ranges::copy(path, address.sun_path);
  return address;
}

Addresses resolved(const Address& address, int flags) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = flags;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(address.host.c_str(), address.port.c_str(), &wanted, &found); code != 0)
    throw Error(ErrorKind::kIo, "{}: {}", address.text(), gai_strerror(code));
  return Addresses(found);
}

bool try_connect(int descriptor, const sockaddr* address, socklen_t size) {
  return ::connect(descriptor, address, size) == 0;
}

void do_not_block(int descriptor) { ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK); }

void send_at_once(int descriptor) {
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

Address::Address(const std::string& whole) {
  if (whole.starts_with("unix:")) {
    path = whole.substr(5);
  } else if (const auto colon = whole.rfind(':'); colon != std::string::npos) {
    host = whole.substr(0, colon);
    port = whole.substr(colon + 1);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  }
  if (path.empty() && (host.empty() || port.empty())) {
    throw Error(ErrorKind::kUsage, "got the address {}, expected unix:PATH or HOST:PORT", core::quoted(whole, 4096));
  }
}

std::string Address::text() const {
  if (!path.empty()) return "unix:" + core::printable(path, 4096);
  return core::printable(host.find(':') == std::string::npos ? host + ":" + port : "[" + host + "]:" + port, 4096);
}

struct Channel::State {
  Descriptor descriptor;
  std::shared_ptr<SSL_CTX> context;  // outlives the session
  Session tls;                       // none on a Unix socket
  std::shared_ptr<const PublicKey> expected;
  core::Bytes in;
  std::size_t taken = 0;  // of `in`
  std::deque<std::shared_ptr<const core::Bytes>> out;
  std::size_t gone = 0;  // of the first of `out`
  std::uint64_t sent = 0, received = 0;

  std::optional<Error> over;  // why nothing more comes

  // No frame: not yet, or never.
  [[nodiscard]] std::optional<core::Bytes> nothing() const {
    if (over) throw Error(*over);
    return std::nullopt;
  }

  // Bytes moved; 0: not now.
  std::size_t write_some(View bytes) {
    if (tls) {
      std::size_t size = 0;
      if (SSL_write_ex(tls.get(), bytes.data(), bytes.size(), &size) == 1) return size;
      require_patience(0);
      return 0;
    }
    const auto size = ::send(descriptor.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size >= 0) return static_cast<std::size_t>(size);
    if (errno == EAGAIN || errno == EINTR) return 0;
    throw Error(ErrorKind::kIo, "the connection ended: {}", std::strerror(errno));
  }

  std::size_t read_some(std::span<std::uint8_t> bytes) {
    if (tls) {
      std::size_t size = 0;
      if (SSL_read_ex(tls.get(), bytes.data(), bytes.size(), &size) == 1) return size;
      require_patience(0);
      return 0;
    }
    const auto size = ::recv(descriptor.get(), bytes.data(), bytes.size(), 0);
    if (size > 0) return static_cast<std::size_t>(size);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    throw Error(ErrorKind::kIo, "the connection ended{}", size == 0 ? "" : fmt::format(": {}", std::strerror(errno)));
  }

  void require_patience(int result) {
    const int error = SSL_get_error(tls.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
    if (error == SSL_ERROR_ZERO_RETURN) throw Error(ErrorKind::kIo, "the connection ended");
    if (expected && SSL_get_verify_result(tls.get()) != X509_V_OK) {
      ERR_clear_error();
      throw Error(ErrorKind::kIo, "TLS: the server has another key than the roster's, {}", hex(*expected));
    }
    fail_tls("the connection ended");
  }
};

Channel::Channel(std::unique_ptr<State> state) : state_(std::move(state)) {}
Channel::Channel(Channel&&) noexcept = default;
Channel& Channel::operator=(Channel&&) noexcept = default;
Channel::~Channel() = default;

int Channel::descriptor() const { return state_->descriptor.get(); }
bool Channel::sending() const { return !state_->out.empty(); }
std::uint64_t Channel::sent() const { return state_->sent; }
std::uint64_t Channel::received() const { return state_->received; }

void Channel::send(std::shared_ptr<const core::Bytes> content) {
  Writer header;
  header.raw(view(kMagic)).number(content->size());
  state_->out.push_back(std::make_shared<const core::Bytes>(header.take()));
  state_->sent += kHeader + content->size();
  if (!content->empty()) state_->out.push_back(std::move(content));
  if (state_->over) state_->out.clear();
}

void Channel::pump() {
  auto& s = *state_;
  if (s.over) return;
  try {
    // Reading comes first: what the other end said before it went away is kept.
    std::array<std::uint8_t, 1 << 16> piece;
    for (int i = 0; i < 64; ++i) {  // others wait, too
      const std::size_t size = s.read_some(piece);
      if (size == 0) break;
      s.in.insert(s.in.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(size));
    }
    while (!s.out.empty()) {
      const std::size_t size = s.write_some(View(*s.out.front()).subspan(s.gone));
      if (size == 0) break;
      s.gone += size;
      if (s.gone < s.out.front()->size()) continue;
      s.out.pop_front();
      s.gone = 0;
    }
  } catch (const Error& error) {
    s.over = error;
    s.out.clear();
  }
}

std::optional<core::Bytes> Channel::next(std::uint64_t limit) {
  auto& s = *state_;
  const View left = View(s.in).subspan(s.taken);
  if (!std::ranges::equal(left.first(std::min(left.size(), kMagic.size())),
                          view(kMagic).first(std::min(left.size(), kMagic.size()))))
    throw Error(ErrorKind::kIo, "got bytes that are no frame, expected version 1 of pellucid aggregate");
  if (left.size() < kHeader) return s.nothing();
  const std::uint64_t size = Reader(left.subspan(kMagic.size()), "a frame").number();
  if (size > limit) throw Error(ErrorKind::kIo, "got a frame of {} bytes, expected at most {}", size, limit);
  if (left.size() - kHeader < size) return s.nothing();
  const View content = left.subspan(kHeader, size);
  core::Bytes frame(content.begin(), content.end());
  s.taken += kHeader + size;
  s.received += kHeader + size;
  if (s.taken == s.in.size()) {
    s.in.clear();
    s.taken = 0;
  }
  return frame;
}

struct Listener::State {
  Descriptor descriptor;
  std::shared_ptr<SSL_CTX> context;
  std::string path, text;
  ino_t inode = 0;
};

Listener::Listener(const Address& address, const std::optional<Key>& key) : state_(std::make_unique<State>()) {
  auto& s = *state_;
  s.text = address.text();
  if (!address.path.empty()) {
    const auto where = unix_address(address.path);
    const auto* socket_address = reinterpret_cast<const sockaddr*>(&where);
    s.descriptor = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (std::filesystem::is_socket(address.path) && !try_connect(s.descriptor.get(), socket_address, sizeof where))
      ::unlink(address.path.c_str());  // of a server that was killed
    s.descriptor = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(s.descriptor.get(), socket_address, sizeof where) != 0) fail_system(s.text, "listen");
    s.path = address.path;
    struct stat status {};
    if (::stat(s.path.c_str(), &status) == 0) s.inode = status.st_ino;
  } else {
    if (!key) {
      throw Error(ErrorKind::kUsage,
                  "{}: got no key of the server, expected one: TLS needs it, and clients know it by the roster",
                  s.text);
    }
    s.context = server_context(*key);
    const auto addresses = resolved(address, AI_PASSIVE);
    s.descriptor = Descriptor(::socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(s.descriptor.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(s.descriptor.get(), addresses->ai_addr, addresses->ai_addrlen) != 0) fail_system(s.text, "listen");
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    std::array<char, 64> port{};
    if (::getsockname(s.descriptor.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0 &&
        ::getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, nullptr, 0, port.data(), port.size(),
                      NI_NUMERICSERV) == 0) {
      Address actual = address;
      actual.port = port.data();
      s.text = actual.text();
    }
  }
  if (::listen(s.descriptor.get(), SOMAXCONN) != 0) fail_system(s.text, "listen");
  do_not_block(s.descriptor.get());
}

Listener::~Listener() {
  struct stat status {};
  if (!state_->path.empty() && ::stat(state_->path.c_str(), &status) == 0 && status.st_ino == state_->inode)
    ::unlink(state_->path.c_str());
}

int Listener::descriptor() const { return state_->descriptor.get(); }
std::string Listener::text() const { return state_->text; }

std::optional<Channel> Listener::accept() {
  Descriptor descriptor(::accept4(state_->descriptor.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (descriptor.get() < 0) return std::nullopt;
  auto state = std::make_unique<Channel::State>();
  state->descriptor = std::move(descriptor);
  if (state_->context) {
    send_at_once(state->descriptor.get());
    state->context = state_->context;
    state->tls.reset(SSL_new(state->context.get()));
    if (!state->tls || SSL_set_fd(state->tls.get(), state->descriptor.get()) != 1) fail_tls("no session");
    SSL_set_accept_state(state->tls.get());
  }
  return Channel(std::move(state));
}

std::optional<Channel> connect(const Address& address, const std::optional<PublicKey>& server) {
  auto state = std::make_unique<Channel::State>();
  if (!address.path.empty()) {
    const auto where = unix_address(address.path);
    state->descriptor = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!try_connect(state->descriptor.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where))
      return std::nullopt;
    do_not_block(state->descriptor.get());
    return Channel(std::move(state));
  }
  if (!server) {
    throw Error(ErrorKind::kUsage, "{}: the roster has no key of the server, expected a line \"server PUBLIC-KEY\"",
                address.text());
  }
  const auto addresses = resolved(address, 0);
  for (const auto* one = addresses.get(); one != nullptr; one = one->ai_next) {
    state->descriptor = Descriptor(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!try_connect(state->descriptor.get(), one->ai_addr, one->ai_addrlen)) continue;
    do_not_block(state->descriptor.get());
    send_at_once(state->descriptor.get());
    state->context = context(TLS_client_method());
    state->expected = std::make_shared<const PublicKey>(*server);
    SSL_CTX_set_verify(state->context.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_cert_verify_callback(state->context.get(), has_key, const_cast<PublicKey*>(state->expected.get()));
    state->tls.reset(SSL_new(state->context.get()));
    if (!state->tls || SSL_set_fd(state->tls.get(), state->descriptor.get()) != 1) fail_tls("no session");
    SSL_set_connect_state(state->tls.get());
    return Channel(std::move(state));
  }
  return std::nullopt;
}

}  // namespace pellucid::aggregation
