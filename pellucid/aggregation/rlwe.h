// Additive encryption on a lattice, with a secret key of which each client has a part. Unaudited: for measurement.
#pragma once

#include "pellucid/aggregation/crypto.h"
#include "pellucid/aggregation/noise.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pellucid::aggregation {

/// Ring learning with errors: polynomials modulo X^8192 + 1 and q, the product of three primes of 56 bits.
///
/// Keys (n of n). A polynomial a is common to all. Client i draws a ternary secret s_i and noise e_i and tells b_i = -a
/// s_i + e_i. The public key is (b, a) with b = sum b_i: its secret, s = sum s_i, is nowhere.
/// Encryption of m: (c_0, c_1) = (b u + e_0 + Delta m, a u + e_1), u ternary, e_0 and e_1 noise; Delta = 2^71.
/// Sum: of ciphertexts, C_0 and C_1. Partial decryption: d_i = C_1 s_i + E_i, E_i smudging noise.
/// Then C_0 + sum d_i = Delta sum m + v, and whoever holds all of it reads sum m = floor((C_0 + sum d_i) / Delta +
/// 1/2).
///
/// Packing: a coefficient of m holds three values of 32 bits behind one another, so 2^96 Delta <= q and a ciphertext
/// holds 24,576 values. Nothing wraps around: the sums must not overflow 32 bits (`FixedPoint`), and then Delta m is
/// below q, so that the plain multiple Delta m is as exact as round(q m / t), which BFV needs for sums modulo t.
///
/// Why these parameters. What hides a client's key in d_i is E_i, which must be large beside the noise v, and both must
/// be below Delta / 2. With 16 clients v is about 2^12. At degree 2048 and 54 bits (128-bit security against classical
/// computers only) 32-bit values leave Delta / 2 = 2^21, so E_i would be 2^5 times v: nothing. At degree 4096 and 101
/// bits (the most for 128-bit security against quantum computers) Delta / 2 = 2^68 would do, at 25 bytes a value. The
/// room for smudging is paid once a coefficient: at degree 8192 three values share it, at 14 bytes a value.
///
/// log2 q for 128-bit security, ternary secrets, noise of deviation 3.2 (homomorphicencryption.org's tables, as in
/// SEAL's hestdparms.h and OpenFHE's stdlatticeparms.cpp):
///   degree              2048   4096   8192
///   classical             54    109    218
///   quantum               51    101    202
/// Here 168 at degree 8192, so 128-bit security against quantum computers too, and less than 192-bit (152).
///
/// Decryption never fails, not with any probability: all noise is bounded. |s_i|, |u| <= 1 and |e| <= 19 give a
/// ciphertext's noise |e u + e_0 + e_1 s| <= 19 (2 * 8192 n + 1), n ciphertexts' with n <= 30 less than 2^29, and
/// |sum E_i| <= n 2^65. Together below 30 * 2^65 + 2^29 < 2^70 = Delta / 2.
///
/// Smudging. Who sees d_i and holds all other secrets sees E_i shifted by the noise v, which depends on s_i. The total
/// variation between E_i shifted by a vector v and E_i is at most sqrt(I) |v| / 2, I = 3.12 * 2^-128 the Fisher
/// information (by the Hellinger distance, which adds up over coefficients). E|v|^2 = M n 3.2^2 (1 + 4 * 8192 n / 3)
/// for M coefficients. For 312,202 values and 16 clients: 2^-43.4; for 12 million values: 2^-40.7. That holds for one
/// partial decryption of a ciphertext: a client must never make a second one.
///
/// Threat model: who follows the protocol, the server and up to n - 1 clients together, learns the sum and nothing else
/// of a client. The sum is exact, so there is no decryption noise to learn a key from (Li and Micciancio 2021). Who
/// does not follow it is held back by the signatures of the round (`Client`), not by this scheme: a garbled part makes
/// a wrong sum or an error.
///
/// Sources: Brakerski 2012, Fan and Vercauteren 2012 (BFV); Asharov et al. 2012, section 4, and Mouchet et al. 2021,
/// "Multiparty homomorphic encryption from ring-learning-with-errors", section IV (keys and decryption in parts).
inline constexpr std::size_t kDegree = 8192;
inline constexpr std::size_t kPrimes = 3;
inline constexpr std::size_t kValues = 3;  ///< in a coefficient
inline constexpr std::size_t kBlock = kValues * kDegree;
inline constexpr std::uint32_t kMostKeys = 30;

/// Polynomials, transformed (`Ntt`): 8192 values modulo the first prime, then the second, the third; then the next
/// polynomial.
using Polynomials = std::vector<std::uint64_t>;

/// The polynomials that n values take.
[[nodiscard]] constexpr std::size_t blocks(std::size_t values) { return (values + kBlock - 1) / kBlock; }

/// A client's part of the secret key.
struct SecretKey {
  std::vector<std::int8_t> coefficients;  ///< 8192, ternary
};

[[nodiscard]] SecretKey make_secret_key();

/// The polynomial a: uniform, the same for all who have the seed.
[[nodiscard]] Polynomials common_polynomial(const Digest& seed);

/// b_i, with fresh noise.
[[nodiscard]] Polynomials key_part(const SecretKey& secret, const Polynomials& common);

/// A vector encrypted.
struct Ciphertext {
  Polynomials c0, c1;  ///< `blocks` of each
};

/// Encrypts a vector, with fresh randomness, under the public key (sum of the parts, common).
[[nodiscard]] Ciphertext encrypt(std::span<const std::uint32_t> values, const Polynomials& key,
                                 const Polynomials& common);

/// Adds polynomials to a sum; an empty sum is zero.
void add(Polynomials& sum, const Polynomials& one);

/// d_i, with fresh smudging noise: once for a ciphertext.
/// @param c1 the sum of all clients' c1.
[[nodiscard]] Polynomials partial_decryption(const Polynomials& c1, const SecretKey& secret);

/// The sums of n values. @param total sum of all c0 and of all partial decryptions.
/// @throws Error(kIo) if it is none: with the noise of `clients` clients it would be within clients 2^65 + 2^29 of a
///   multiple of 2^71, and the unused places zero. A garbled part is seen at nearly every vector.
[[nodiscard]] std::vector<std::uint32_t> decode(const Polynomials& total, std::size_t values, std::uint32_t clients);

/// Seven bytes a number.
[[nodiscard]] core::Bytes pack(const Polynomials& polynomials);

/// The other way round, from others. @param count of polynomials.
/// @throws Error(kIo) if the bytes are not as many as these take, or a number is not below its prime.
/// @param what names the bytes in messages.
[[nodiscard]] Polynomials unpack(View bytes, std::size_t count, const std::string& what);

/// How many bytes `pack` makes of them.
[[nodiscard]] constexpr std::size_t packed_size(std::size_t count) { return 7 * count * kPrimes * kDegree; }

}  // namespace pellucid::aggregation
