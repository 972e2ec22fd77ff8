// Frames over a Unix socket, or over TCP with TLS.
#pragma once

#include "pellucid/aggregation/identity.h"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace pellucid::aggregation {

/// "unix:PATH" or "HOST:PORT".
struct Address {
  std::string path;        ///< of a Unix socket; empty: TLS
  std::string host, port;  ///< of TLS: "0.0.0.0", "[::1]" without its brackets

  /// @throws Error(kUsage) if the text is neither.
  explicit Address(const std::string& text);
  [[nodiscard]] std::string text() const;
};

/// One end of a connection. A frame is "PAG" and a version byte, the length in 8 bytes, the content. It never blocks.
///
/// TLS is version 1.3. The server's certificate is made for the connection, of its Ed25519 key, and a client takes no
/// other key than the roster's; names and authorities do not matter. A client shows no certificate: it signs what it
/// says. On a Unix socket the system's permissions decide who connects.
class Channel {
 public:
  Channel(Channel&&) noexcept;
  Channel& operator=(Channel&&) noexcept;
  ~Channel();

  /// Puts a frame behind those that wait to be sent. The content is shared, not copied.
  void send(std::shared_ptr<const core::Bytes> content);
  /// Moves what can be moved without waiting.
  void pump();
  /// A frame that has arrived whole.
  /// @throws Error(kIo) behind the last of them, if the other end is gone, or TLS failed: another key than the
  /// roster's,
  ///   no TLS at all.
  /// @throws Error(kIo) if what arrives is no frame, of another version, or longer than `limit`.
  [[nodiscard]] std::optional<core::Bytes> next(std::uint64_t limit);

  [[nodiscard]] int descriptor() const;
  /// Whether something waits to be sent.
  [[nodiscard]] bool sending() const;
  [[nodiscard]] std::uint64_t sent() const;      ///< bytes of frames so far
  [[nodiscard]] std::uint64_t received() const;  ///< likewise

 private:
  friend class Listener;
  friend std::optional<Channel> connect(const Address& address, const std::optional<PublicKey>& server);
  struct State;
  explicit Channel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Waits at an address. A Unix socket's file is removed at the end, and at the start where nobody listens at it any
/// more.
class Listener {
 public:
  /// @param key the server's; only TLS needs it.
  /// @throws Error(kUsage) for TLS without a key.
  /// @throws Error(kIo) if the address cannot be had: another server listens there, no such host.
  Listener(const Address& address, const std::optional<Key>& key);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  [[nodiscard]] int descriptor() const;
  /// Somebody who has connected, if there is one.
  [[nodiscard]] std::optional<Channel> accept();
  /// Where it listens: "127.0.0.1:40123" where port 0 was asked for.
  [[nodiscard]] std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Connects; nothing while nobody listens there.
/// @param server the key that the server must have; only TLS needs it.
/// @throws Error(kUsage) for TLS without the server's key.
/// @throws Error(kIo) if there is no such host, or the path is too long.
[[nodiscard]] std::optional<Channel> connect(const Address& address, const std::optional<PublicKey>& server);

}  // namespace pellucid::aggregation
