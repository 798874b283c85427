// The tables of both drivers, as numbered migrations. Constant data, any thread. doc/store.md describes what they make.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace bai::store {

// What this program writes. A database with a higher number is refused.
inline constexpr int kSchemaVersion = 2;

// The nth script leads from version n to n + 1; several statements, run in one transaction that also sets the number.
std::span<const char* const> sqlite_migrations();
std::span<const char* const> postgresql_migrations();

// Each opening is a new epoch.
inline std::string raise_epoch(std::uint64_t step) {
  return "UPDATE meta SET epoch = epoch + " + std::to_string(step) + " WHERE id = 1";
}

}  // namespace bai::store
