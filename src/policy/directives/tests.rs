//! What directives say.

use super::*;
