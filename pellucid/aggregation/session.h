// A round between processes: the state machines of `Server` and `Client` over `Channel`s.
#pragma once

#include "pellucid/aggregation/server.h"
#include "pellucid/aggregation/transport.h"
#include "pellucid/core/run.h"

namespace pellucid::aggregation {

/// What a round took.
struct Traffic {
  std::uint64_t received = 0, sent = 0;  ///< bytes of frames
  double seconds = 0;                    ///< from the first message on
  std::vector<std::string> refused;  ///< why connections were refused: each a stranger, a forged or replayed message
};

/// Runs a server's round to its end. A client that is silent for `timeout` seconds in a step, whose connection ends or
/// whose message is refused is dropped; in the first step it may come back. Whoever connects without a valid message is
/// refused and changes nothing.
/// @throws Error(...) as `Server::advance`; the clients are sent the reason.
/// @throws Error(kStopped) if a stop is asked for; the clients are sent the reason.
[[nodiscard]] Traffic serve(Server& server, Listener& listener, double timeout, const core::Run& run);

/// Runs a client's round to its end. Waits up to `timeout` seconds for the server to appear, and for each of its
/// frames.
/// @throws Error(kIo) if the server does not appear, is silent too long, or the connection ends.
/// @throws Error(...) as `Client::receive` and `connect`.
/// @throws Error(kStopped) if a stop is asked for.
[[nodiscard]] Traffic join(Client& client, const Address& address, const std::optional<PublicKey>& server,
                           double timeout, const core::Run& run);

}  // namespace pellucid::aggregation
