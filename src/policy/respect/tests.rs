//! What a shared cache may store.

use super::*;
