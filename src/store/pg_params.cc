#include <postgresql/libpq-fe.h>

#include <cstring>

#include "store/pg_session.h"

namespace bai::store {

namespace {

void put32(std::string& out, std::uint32_t n) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift);
}

void put64(std::string& out, std::int64_t n) {
  put32(out, static_cast<std::uint32_t>(static_cast<std::uint64_t>(n) >> 32));
  put32(out, static_cast<std::uint32_t>(n));
}

}  // namespace

PgParams& PgParams::number(std::int64_t n) {
  put64(values_.emplace_back(), n);
  return *this;
}

PgParams& PgParams::bytes(std::string_view b) {
  values_.emplace_back(b);
  return *this;
}

void PgParams::begin_array(std::uint32_t element_type, std::size_t size) {
  std::string& out = values_.emplace_back();
  put32(out, size == 0 ? 0 : 1);  // dimensions
  put32(out, 0);                  // no nulls
  put32(out, element_type);
  if (size == 0) return;
  put32(out, static_cast<std::uint32_t>(size));
  put32(out, 1);  // lower bound
}

void PgParams::add_number(std::int64_t n) {
  put32(values_.back(), 8);
  put64(values_.back(), n);
}

void PgParams::add_bytes(std::string_view b) {
  put32(values_.back(), static_cast<std::uint32_t>(b.size()));
  values_.back() += b;
}

void PgResult::Clear::operator()(pg_result* result) const { PQclear(result); }

int PgResult::rows() const { return PQntuples(result_.get()); }

std::string_view PgResult::bytes(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::int64_t PgResult::number(int row, int column) const {
  const auto b = bytes(row, column);
  if (b.empty()) return 0;
  std::uint64_t n = (b[0] & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (const char c : b) n = n << 8 | static_cast<std::uint8_t>(c);
  return static_cast<std::int64_t>(n);
}

}  // namespace bai::store
