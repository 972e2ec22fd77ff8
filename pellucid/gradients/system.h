// The system of the tool's first question: images from shared gradients.
#pragma once

#include "pellucid/gradients/trained.h"
#include "pellucid/grid/system.h"

#include <list>
#include <map>

namespace pellucid::gradients {

/// A subject is a trained network at a checkpoint; an item is a test image, whose gradient a client shares; a reading
/// is what the attack makes of that gradient. See `Settings` for what a study may vary.
///
/// Readings of one image depend on (settings, network, image) alone: start noise and dropout are indexed by the image's
/// number. Trainings depend on the number of threads in their last bits.
class System : public grid::System {
 public:
  [[nodiscard]] std::string name() const override { return "gradients"; }
  [[nodiscard]] const grid::Words& words() const override;
  [[nodiscard]] const std::vector<record::Metric>& metrics() const override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> columns() const override {
    return {{"label", "Label"}, {"restart", "Restart"}, {"restarts", "Restarts"}};
  }
  [[nodiscard]] std::optional<grid::Pooled> pooled() const override;
  [[nodiscard]] std::vector<grid::Covariate> covariates() const override;

  [[nodiscard]] std::vector<std::string> tables() const override { return table_names(); }
  [[nodiscard]] core::Json resolve(const core::Json& tables, const std::filesystem::path& folder,
                                   const std::string& where) const override;
  /// A relative `model.weights` that is typed is in the working folder, one of a file beside that file.
  void take_typed(core::Json& tables) const override;
  void check(const grid::Study& study, const std::string& where) const override;
  [[nodiscard]] std::string source(const core::Json& settings) const override;

  void check_runs(const core::Json& settings) override;
  [[nodiscard]] std::int64_t item(const core::Json& settings, std::int64_t place) override;
  [[nodiscard]] grid::Subject subject(const core::Json& settings, std::int64_t seed) override;
  [[nodiscard]] std::optional<core::Json> prepare(const grid::Subject& subject, const grid::Shared& shared,
                                                  const core::Run& run) override;
  [[nodiscard]] std::string describe(const core::Json& prepared) const override;
  [[nodiscard]] bool is_prepared(const core::Json& result) const override;
  [[nodiscard]] core::Json determinants(const core::Json& settings, const grid::Subject& subject,
                                        const core::Json& prepared) override;
  [[nodiscard]] record::Reading read(const core::Json& settings, const grid::Subject& subject,
                                     const core::Json& prepared, std::int64_t item,
                                     const grid::Shared& shared) override;
  void warm_up(const core::Json& settings) override;

  [[nodiscard]] std::vector<grid::Control> controls(const grid::Study& study) override;
  [[nodiscard]] std::vector<record::Control> baselines(const grid::Study& study,
                                                       const std::vector<grid::Cell>& cells) override;

  [[nodiscard]] double preparing_seconds(const grid::Subject& subject, const std::filesystem::path& shared) override;
  [[nodiscard]] double reading_seconds(const core::Json& settings) override;

  [[nodiscard]] std::string budget(const core::Json& settings, const core::Json& other) const override;
  [[nodiscard]] std::vector<std::size_t> meaningless(const grid::Finished& finished) override;
  [[nodiscard]] core::Json original(const core::Json& settings, std::int64_t item) override;
  void complete(core::Json& result, const grid::Study& study, const grid::Finished& finished) override;

 private:
  using Networks = std::list<std::pair<std::string, std::shared_ptr<const nets::Network>>>;

  Training training(const grid::Subject& subject);
  std::shared_ptr<const nets::Network> network(const Training& training, const std::filesystem::path& folder,
                                               const std::string& fingerprint);

  Datasets datasets_;
  std::mutex mutex_;
  Networks networks_;                    ///< the last ones asked for, the latest first
  std::map<std::string, double> timed_;  ///< seconds of what was timed for an estimate, by what it depends on
};

}  // namespace pellucid::gradients
