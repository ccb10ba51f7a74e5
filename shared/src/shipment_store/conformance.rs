//! What every shipment store must do. To be written with the adapters.
