// Nothing: this source belongs to the target whose precompiled header (precompiled.h) the tests share.
