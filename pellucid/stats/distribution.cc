#include "pellucid/stats/distribution.h"

#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/normal.hpp>

namespace pellucid::stats {

double normal_cdf(double z) { return cdf(boost::math::normal(), z); }

double normal_quantile(double p) { return quantile(boost::math::normal(), p); }

double beta_quantile(double p, double a, double b) { return quantile(boost::math::beta_distribution(a, b), p); }

}  // namespace pellucid::stats
