// An HTTP server on the loopback interface, just enough to fetch one file from.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pellucid::data {

/// How a server misbehaves.
enum class Fault {
  kNone,
  kEndless,    ///< the content again and again, of no stated length
  kSlow,       ///< two bytes, and then nothing
  kEndsEarly,  ///< half of the content, of no stated length
  kRedirects,  ///< to itself
};

/// Serves `content` at /file and 404 elsewhere; honours "Range: bytes=N-" if `ranges`.
class Server {
 public:
  Server(std::string content, bool ranges, Fault fault = Fault::kNone)
      : content_(std::move(content)), ranges_(ranges), fault_(fault) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(socket_, 8) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::abort();
    }
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
    thread_ = std::jthread([this] {
      for (int client; (client = ::accept(socket_, nullptr, nullptr)) >= 0;) answer(client);
    });
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }

  /// Ends in '/'.
  [[nodiscard]] const std::string& url() const { return url_; }

  /// The requests' headers so far.
  [[nodiscard]] std::vector<std::string> requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void answer(int client) {
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const auto n = ::read(client, buffer, sizeof buffer);
      if (n <= 0) break;
      request.append(buffer, static_cast<std::size_t>(n));
    }
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    std::size_t from = 0;
    std::string status = "200 OK";
    std::string range;
    const auto asked = request.find("Range: bytes=");
    if (request.find("GET /file ") == std::string::npos) {
      from = content_.size();
      status = "404 Not Found";
    } else if (ranges_ && asked != std::string::npos) {
      from = std::strtoul(request.c_str() + asked + 13, nullptr, 10);
      const auto size = std::to_string(content_.size());
      if (from < content_.size()) {
        status = "206 Partial Content";
        range = "Content-Range: bytes " + std::to_string(from) + "-" + std::to_string(content_.size() - 1) + "/" + size;
      } else {
        from = content_.size();
        status = "416 Range Not Satisfiable";
        range = "Content-Range: bytes */" + size;
      }
      range += "\r\n";
    }
    std::string body = content_.substr(from);
    if (fault_ == Fault::kRedirects) {
      send(client, "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: " + url_ + "file\r\n\r\n");
      ::close(client);
      return;
    }
    if (fault_ != Fault::kNone) {
      const std::string head = "HTTP/1.1 " + status + "\r\n" + range + "Connection: close\r\n\r\n";
      if (fault_ == Fault::kEndsEarly) send(client, head + body.substr(0, body.size() / 2));
      if (fault_ == Fault::kEndless) {
        for (bool open = send(client, head); open;) open = send(client, content_);
      }
      if (fault_ == Fault::kSlow) {
        send(client, head + body.substr(0, 2));
        for (char byte; ::read(client, &byte, 1) > 0;) continue;  // until the other side gives up
      }
      ::close(client);
      return;
    }
    const std::string reply = "HTTP/1.1 " + status + "\r\n" + range +
                              "Connection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    send(client, reply);
    ::close(client);
  }

  static bool send(int client, const std::string& text) {
    return ::send(client, text.data(), text.size(), MSG_NOSIGNAL) > 0;
  }

  std::string content_;
  bool ranges_;
  Fault fault_;
  int socket_;
  std::string url_;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::jthread thread_;
};

}  // namespace pellucid::data
