// A folder of a test's own.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace pellucid::core {

/// An empty temporary folder, removed with all it holds at the end of its life.
class Folder {
 public:
  Folder() {
    auto name = (std::filesystem::temp_directory_path() / "pellucid-test-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("cannot make " + name);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::filesystem::path operator/(const Folder& folder, const std::string& name) { return folder.path() / name; }

}  // namespace pellucid::core
