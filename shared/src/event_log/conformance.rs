//! What every log must do. To be written with the adapters.
