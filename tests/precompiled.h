// What nearly every test includes and what takes longest to read; precompiled for the tests that use libtorch.
#pragma once

#include "pellucid/core/torch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
