/** The operations for webhook endpoints. */

import type { Client as OpenApiClient } from "openapi-fetch";
import {
  data,
  items,
  PAGE_MAX,
  part,
  read,
  type Json,
  type Query,
  type ReadOptions,
} from "./asking.js";
import type * as api from "./openapi.js";

/**
 * A method for each operation of webhook endpoints.
 *
 * The API takes no key for them: whoever registers an endpoint twice has two. So what does not only
 * read or set values is sent once, and rejects with NoAnswer where nobody knows what became of it;
 * the lists say. Registering and replacing a secret show the secret once, to this call.
 */
export abstract class WebhookOperations {
  abstract readonly paths: OpenApiClient<api.paths, Json>;

  /** The endpoints, newest first. */
  listWebhooks(options?: ReadOptions): Promise<api.WebhookList> {
    return data(this.paths.GET("/api/v1/webhooks", read(options)));
  }

  /** Have events posted to a URL: those of `event_types`, or all that there are and will be. */
  createWebhook(body: api.WebhookBody, options?: ReadOptions): Promise<api.WebhookIssued> {
    return data(this.paths.POST("/api/v1/webhooks", { body, ...read(options) }));
  }

  /** An endpoint, and whether it is told anything. */
  getWebhook(endpointId: string, options?: ReadOptions): Promise<api.WebhookView> {
    const asked = endpoint(endpointId, options);
    return data(this.paths.GET("/api/v1/webhooks/{endpoint_id}", asked));
  }

  /** Change what is given; `event_types` is the whole new list. */
  updateWebhook(
    endpointId: string,
    body: api.WebhookChange,
    options?: ReadOptions,
  ): Promise<api.WebhookView> {
    const asked = { body, ...endpoint(endpointId, options) };
    return data(this.paths.PATCH("/api/v1/webhooks/{endpoint_id}", asked));
  }

  /** End an endpoint, with its secrets and deliveries. */
  deleteWebhook(endpointId: string, options?: ReadOptions): Promise<api.WebhookDeleted> {
    const asked = endpoint(endpointId, options);
    return data(this.paths.DELETE("/api/v1/webhooks/{endpoint_id}", asked));
  }

  /** A new secret; the ones before it sign along for `overlap_seconds`, a day unless given. */
  rotateWebhookSecret(
    endpointId: string,
    body: api.RotateSecretBody = {},
    options?: ReadOptions,
  ): Promise<api.SecretRotated> {
    const asked = { body, ...endpoint(endpointId, options) };
    return data(this.paths.POST("/api/v1/webhooks/{endpoint_id}/rotate", asked));
  }

  /** Tell an endpoint what happens from now on. */
  enableWebhook(endpointId: string, options?: ReadOptions): Promise<api.WebhookView> {
    const asked = endpoint(endpointId, options);
    return data(this.paths.POST("/api/v1/webhooks/{endpoint_id}/enable", asked));
  }

  /** Tell an endpoint nothing any more. */
  disableWebhook(endpointId: string, options?: ReadOptions): Promise<api.WebhookView> {
    const asked = endpoint(endpointId, options);
    return data(this.paths.POST("/api/v1/webhooks/{endpoint_id}/disable", asked));
  }

  /** Send an endpoint a `webhook.test`; its delivery says what came of it. */
  testWebhook(endpointId: string, options?: ReadOptions): Promise<api.WebhookTested> {
    const asked = endpoint(endpointId, options);
    return data(this.paths.POST("/api/v1/webhooks/{endpoint_id}/test", asked));
  }

  /** What an endpoint was told, newest first, of all pages. */
  listWebhookDeliveries(
    endpointId: string,
    query: Query<"listWebhookDeliveries"> = {},
    options?: ReadOptions,
  ) {
    const path = { endpoint_id: part(endpointId) };
    return items<api.DeliveryView>((page) => {
      const params = { path, query: { limit: PAGE_MAX, ...query, ...page } };
      return this.paths.GET("/api/v1/webhooks/{endpoint_id}/deliveries", {
        params,
        ...read(options),
      });
    });
  }

  /** What was sent, and each attempt. */
  getWebhookDelivery(
    endpointId: string,
    eventId: string,
    options?: ReadOptions,
  ): Promise<api.DeliveryAttempts> {
    const asked = delivery(endpointId, eventId, options);
    return data(this.paths.GET("/api/v1/webhooks/{endpoint_id}/deliveries/{event_id}", asked));
  }

  /** Send an event again, under the same id, whatever became of it. */
  resendWebhookDelivery(
    endpointId: string,
    eventId: string,
    options?: ReadOptions,
  ): Promise<api.DeliveriesResent> {
    const asked = delivery(endpointId, eventId, options);
    return data(
      this.paths.POST("/api/v1/webhooks/{endpoint_id}/deliveries/{event_id}/resend", asked),
    );
  }

  /**
   * Send again what has happened since a moment and has ended, the oldest first.
   *
   * `next_cursor` of the answer, while there is one, is the `cursor` for the rest.
   */
  resendWebhookDeliveries(
    endpointId: string,
    body: api.ResendBody,
    options?: ReadOptions,
  ): Promise<api.DeliveriesResent> {
    const asked = { body, ...endpoint(endpointId, options) };
    return data(this.paths.POST("/api/v1/webhooks/{endpoint_id}/resend", asked));
  }
}

function endpoint(endpointId: string, options?: ReadOptions) {
  return { params: { path: { endpoint_id: part(endpointId) } }, ...read(options) };
}

function delivery(endpointId: string, eventId: string, options?: ReadOptions) {
  const path = { endpoint_id: part(endpointId), event_id: part(eventId) };
  return { params: { path }, ...read(options) };
}
