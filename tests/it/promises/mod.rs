//! What the gateway promises, one file a promise or two.

mod bad_input;
mod budget;
mod drain;
mod flights;
mod keys;
mod ledger;
mod pages;
mod saturation;
mod secrets;
mod secrets_of_clients;
