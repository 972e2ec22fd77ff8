// An HTTP server on the loopback interface, just enough to fetch one file from.
#pragma once

#include <httplib.h>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
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
    server_.set_keep_alive_max_count(1);  // a body of no stated length ends with the connection
    server_.Get("/file", [this](const auto& request, auto& response) { answer(request, response); });
    url_ = "http://127.0.0.1:" + std::to_string(server_.bind_to_any_port("127.0.0.1")) + "/";
    thread_ = std::jthread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();  // before that `stop` does nothing
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() { server_.stop(); }

  /// Ends in '/'.
  [[nodiscard]] const std::string& url() const { return url_; }

  /// What the requests so far asked for: "bytes=10-", or nothing for the whole file.
  [[nodiscard]] std::vector<std::string> asked() const {
    std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  void answer(const httplib::Request& request, httplib::Response& response) {
    {
      std::lock_guard lock(mutex_);
      asked_.push_back(request.get_header_value("Range"));
    }
    if (fault_ == Fault::kRedirects) return response.set_redirect(url_ + "file");
    if (fault_ == Fault::kNone && ranges_) return response.set_content(content_, "text/plain");  // or a part of it

    // A body of no stated length is sent whatever was asked for.
    std::size_t from = 0;
    response.status = 200;
    if (ranges_ && !request.ranges.empty()) {
      from = static_cast<std::size_t>(request.ranges[0].first);
      response.status = 206;
      response.set_header("Content-Range", "bytes " + std::to_string(from) + "-" + std::to_string(content_.size() - 1) +
                                               "/" + std::to_string(content_.size()));
    }
    response.set_content_provider("text/plain", [this, body = content_.substr(from)](std::size_t, auto& sink) {
      if (fault_ == Fault::kEndless) return sink.write(body.data(), body.size());
      const std::size_t count = fault_ == Fault::kSlow        ? 2
                                : fault_ == Fault::kEndsEarly ? body.size() / 2
                                                              : body.size();
      sink.write(body.data(), count);
      while (fault_ == Fault::kSlow && sink.is_writable())  // until the other side gives up
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      sink.done();
      return true;
    });
  }

  std::string content_;
  bool ranges_;
  Fault fault_;
  std::string url_;
  mutable std::mutex mutex_;
  std::vector<std::string> asked_;
  httplib::Server server_;
  std::jthread thread_;  // the first to go
};

}  // namespace pellucid::data
